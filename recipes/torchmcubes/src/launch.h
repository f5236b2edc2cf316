// Starting kernels over a one-dimensional range, one thread an item.
#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>

#include <cuda_runtime_api.h>

namespace torchmcubes {

inline dim3 blocks_for(std::int64_t items, int threads) {
    const std::int64_t blocks = (items + threads - 1) / threads;
    if (blocks > INT32_MAX) throw std::runtime_error("torchmcubes: the input is larger than a CUDA grid can be");
    return dim3(static_cast<unsigned>(blocks));
}

// A launch returns nothing; its failure (no code for this GPU, say) waits to be asked for.
inline void check_launch(const char* kernel) {
    const cudaError_t error = cudaGetLastError();
    if (error == cudaSuccess) return;
    throw std::runtime_error(std::string("torchmcubes: cannot run ") + kernel + ": " + cudaGetErrorString(error));
}

}  // namespace torchmcubes
