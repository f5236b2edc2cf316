#include "threads.h"
#include "trilinear.h"

namespace torchmcubes {

void sample_on_cpu(const Samples& samples, int threads) {
    constexpr std::int64_t least_points = 4096;  // a thread costs about as much to start as this many to sample
    split(samples.count, least_points, threads, [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t i = begin; i < end; ++i) {
            float* const out = samples.out + i * samples.channels;
            for (std::int64_t c = 0; c < samples.channels; ++c) out[c] = sample(samples, i, c);
        }
    });
}

}  // namespace torchmcubes
