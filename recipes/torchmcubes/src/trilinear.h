// Trilinear interpolation, shared word for word by the CPU and the GPU path.
#pragma once

#include "kernels.h"
#include "portable.h"

namespace torchmcubes {

// Where a coordinate falls on one axis: between two voxels, `fraction` of the way.
struct Between {
    std::int64_t lower, upper;
    float fraction;
};

PORT_FN Between place(float coordinate, std::int64_t extent) {
    const std::int64_t last = extent - 1;
    // A coordinate that is not a number fails both comparisons; it reads voxel 0 and makes the result NaN.
    const float end = static_cast<float>(last);
    const float inside = coordinate < 0 ? 0 : coordinate > end ? end : coordinate;
    std::int64_t lower = inside >= 0 ? static_cast<std::int64_t>(inside) : 0;
    if (lower > last) lower = last;  // `end` is rounded up where a float is too coarse for the extent
    return {lower, lower < last ? lower + 1 : last, inside - static_cast<float>(lower)};
}

PORT_FN float mix(float a, float b, float t) { return (1 - t) * a + t * b; }

// The value of one channel at one point.
PORT_FN float sample(const Samples& samples, std::int64_t index, std::int64_t channel) {
    const float* const point = samples.points + 3 * index;
    const Between x = place(point[0], samples.nx);
    const Between y = place(point[1], samples.ny);
    const Between z = place(point[2], samples.nz);
    const float* const volume = samples.values + channel * (samples.nx * samples.ny * samples.nz);

    float of_plane[2];
    for (int i = 0; i < 2; ++i) {
        const float* const plane = volume + (i ? z.upper : z.lower) * (samples.nx * samples.ny);
        const float* const row = plane + y.lower * samples.nx;
        const float* const next = plane + y.upper * samples.nx;
        of_plane[i] = mix(mix(row[x.lower], row[x.upper], x.fraction),
                          mix(next[x.lower], next[x.upper], x.fraction), y.fraction);
    }
    return mix(of_plane[0], of_plane[1], z.fraction);
}

}  // namespace torchmcubes
