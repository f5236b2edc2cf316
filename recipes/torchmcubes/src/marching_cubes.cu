#include "cell.h"
#include "kernels.h"
#include "launch.h"

namespace torchmcubes {

constexpr int kWarpSize = 32;
constexpr int kWarps = kBlockPoints / kWarpSize;

// How many blocks a multiprocessor should hold. Threads mostly wait for memory, so there must be many; without this the
// rarely taken ways, at borders, would claim so many registers that only 4 blocks fit.
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ == 750
constexpr int kResidentBlocks = 4;  // all that Turing's 1024 threads allow
#else
constexpr int kResidentBlocks = 6;
#endif

// Both counts of a point in one word, so that one scan adds up both: at most 3 and 5 times 256, each within 16 bits.
inline __device__ unsigned pack(const Share& share) { return share.triangle_count() << 16 | share.vertex_count(); }
inline __device__ unsigned vertices_in(unsigned packed) { return packed & 0xffff; }
inline __device__ unsigned faces_in(unsigned packed) { return packed >> 16; }

// The sum of `value` over the threads before this one, and over the whole block.
struct BlockSums {
    unsigned before;
    unsigned total;
};

inline __device__ BlockSums block_sums(unsigned value) {
    __shared__ unsigned of_warp[kWarps];
    const unsigned lane = threadIdx.x % kWarpSize;
    const unsigned warp = threadIdx.x / kWarpSize;

    unsigned sum = value;
    for (unsigned reach = 1; reach < kWarpSize; reach *= 2) {
        const unsigned other = __shfl_up_sync(0xffffffff, sum, reach);
        if (lane >= reach) sum += other;
    }
    if (lane == kWarpSize - 1) of_warp[warp] = sum;
    __syncthreads();

    BlockSums result = {sum - value, 0};
    for (unsigned i = 0; i < kWarps; ++i) {
        if (i < warp) result.before += of_warp[i];
        result.total += of_warp[i];
    }
    return result;
}

// The share of this thread's point; none past the end of the volume. `point` is set only where there may be some. All
// threads of a block must get through the scan, so none may leave early by itself.
inline __device__ Share share_of_thread(const Grid& grid, Point& point) {
    const std::int64_t index = static_cast<std::int64_t>(blockIdx.x) * kBlockPoints + threadIdx.x;
    if (index >= grid.points() || is_uncut(grid, index)) return {0, 0};
    point = locate(grid, index);
    return share_of(grid, point);
}

__global__ void __launch_bounds__(kBlockPoints, kResidentBlocks)
    count_kernel(Grid grid, Slot* slots, Counts counts) {
    Point point = {};
    const Share share = share_of_thread(grid, point);
    // Most blocks hold no surface. They are not scanned, and nobody reads their slots.
    if (!__syncthreads_or(share.vertices != 0 || share.triangles != 0)) {
        if (threadIdx.x == 0) counts.vertices[blockIdx.x] = counts.faces[blockIdx.x] = 0;
        return;
    }
    const BlockSums sums = block_sums(pack(share));
    const std::int64_t index = static_cast<std::int64_t>(blockIdx.x) * kBlockPoints + threadIdx.x;
    if (index < grid.points()) slots[index] = make_slot(vertices_in(sums.before), share);
    if (threadIdx.x == 0) {
        counts.vertices[blockIdx.x] = static_cast<std::int32_t>(vertices_in(sums.total));
        counts.faces[blockIdx.x] = static_cast<std::int32_t>(faces_in(sums.total));
    }
}

__global__ void __launch_bounds__(kBlockPoints, kResidentBlocks)
    emit_kernel(Grid grid, const Slot* slots, Ends ends, Mesh mesh) {
    const std::int64_t block = blockIdx.x;
    if (ends.is_empty(block)) return;  // all of the block's threads see the same
    Point point = {};
    const Share share = share_of_thread(grid, point);
    const BlockSums sums = block_sums(pack(share));
    if (share.vertices) {
        const std::int64_t first = ends.first_vertex(block) + vertices_in(sums.before);
        emit_vertices(grid, point, share.vertices, mesh.vertices + 3 * first);
    }
    if (share.triangles) {
        const std::int64_t first = ends.first_face(block) + faces_in(sums.before);
        emit_faces(grid, point, share.triangles, slots, ends, mesh.faces + 3 * first);
    }
}

void count_on_cuda(const Grid& grid, Slot* slots, const Counts& counts, CudaStream stream) {
    const std::int64_t points = grid.nx * grid.ny * grid.nz;
    count_kernel<<<blocks_for(points, kBlockPoints), kBlockPoints, 0, stream>>>(grid, slots, counts);
    check_launch("the counting kernel of marching cubes");
}

void emit_on_cuda(const Grid& grid, const Slot* slots, const Ends& ends, const Mesh& mesh, CudaStream stream) {
    const std::int64_t points = grid.nx * grid.ny * grid.nz;
    emit_kernel<<<blocks_for(points, kBlockPoints), kBlockPoints, 0, stream>>>(grid, slots, ends, mesh);
    check_launch("the emitting kernel of marching cubes");
}

}  // namespace torchmcubes
