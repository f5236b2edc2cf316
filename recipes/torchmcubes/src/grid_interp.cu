#include "kernels.h"
#include "launch.h"
#include "trilinear.h"

namespace torchmcubes {

constexpr int kThreads = 256;

// One thread for each number of the output, so that neighbours write side by side whatever the number of channels.
__global__ void __launch_bounds__(kThreads) sample_kernel(Samples samples) {
    const std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * kThreads + threadIdx.x;
    if (i >= samples.count * samples.channels) return;
    samples.out[i] = sample(samples, i / samples.channels, i % samples.channels);
}

void sample_on_cuda(const Samples& samples, CudaStream stream) {
    const std::int64_t items = samples.count * samples.channels;
    sample_kernel<<<blocks_for(items, kThreads), kThreads, 0, stream>>>(samples);
    check_launch("the interpolating kernel");
}

}  // namespace torchmcubes
