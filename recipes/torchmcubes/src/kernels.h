// The four computations, on plain memory. Neither torch nor CUDA headers are needed to call them.
//
// Marching cubes has two steps. `count` fills a slot for each point and the number of vertices and faces of each block;
// the caller turns these numbers into running totals, allocates the mesh, and `emit` fills it in.
#pragma once

#include <cstdint>

#include "portable.h"

struct CUstream_st;  // what a cudaStream_t points to

namespace torchmcubes {

using CudaStream = CUstream_st*;

// A contiguous volume of nz * ny * nx values, x fastest, and the level of the surface.
struct Grid {
    const float* values;
    std::int64_t nx, ny, nz;
    float level;

    PORT_FN std::int64_t points() const { return nx * ny * nz; }
};

// Points are handled in blocks of this many. Of each point only its place within its block is remembered.
constexpr int kBlockPoints = 256;

// A slot says which edges of a point have vertices (low 3 bits) and how many vertices come before them in the block.
// It is meaningless in a block that has nothing to emit.
using Slot = std::uint16_t;
static_assert(3 * kBlockPoints < 1 << 13, "the place within a block must fit the upper 13 bits of a slot");

// What each block contributes to the mesh.
struct Counts {
    std::int32_t* vertices;  // one for each block
    std::int32_t* faces;
};

// Where the part of the outputs that each block fills ends: running totals of the counts.
struct Ends {
    const std::int64_t* vertices;
    const std::int64_t* faces;

    PORT_FN std::int64_t first_vertex(std::int64_t block) const { return block ? vertices[block - 1] : 0; }
    PORT_FN std::int64_t first_face(std::int64_t block) const { return block ? faces[block - 1] : 0; }
    PORT_FN bool is_empty(std::int64_t block) const {
        return first_vertex(block) == vertices[block] && first_face(block) == faces[block];
    }
};

struct Mesh {
    float* vertices;      // (V, 3), in voxels
    std::int32_t* faces;  // (F, 3)
};

// `channels` volumes of the same extents behind one another, and the points (x, y, z) to sample them at.
struct Samples {
    const float* values;
    std::int64_t channels, nx, ny, nz;
    const float* points;  // (count, 3), in voxels
    std::int64_t count;
    float* out;  // (count, channels)
};

void count_on_cpu(const Grid& grid, Slot* slots, const Counts& counts, int threads);
void emit_on_cpu(const Grid& grid, const Slot* slots, const Ends& ends, const Mesh& mesh, int threads);
void sample_on_cpu(const Samples& samples, int threads);

// These enqueue work on the stream, which must be of the current device. They throw std::runtime_error when the
// launch fails.
void count_on_cuda(const Grid& grid, Slot* slots, const Counts& counts, CudaStream stream);
void emit_on_cuda(const Grid& grid, const Slot* slots, const Ends& ends, const Mesh& mesh, CudaStream stream);
void sample_on_cuda(const Samples& samples, CudaStream stream);

}  // namespace torchmcubes
