// What lets one header serve the C++ compiler and nvcc.
#pragma once

#ifdef __CUDACC__
#define PORT_FN inline __device__
// Rarely called: kept apart, so that its registers are not claimed by those who never call it.
#define PORT_RARE_FN __noinline__ __device__
// Not const, though nobody writes to it: a constant is internal to its file, and into the names of internal things nvcc
// mixes the path of the file, so that builds in two places would differ. A table can thus be in one .cu file only.
#define PORT_TABLE __device__
#else
#define PORT_FN inline
#define PORT_RARE_FN inline
#define PORT_TABLE inline constexpr
#endif
