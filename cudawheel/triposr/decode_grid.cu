// The hidden layers and the density of a decoder of 64 neurons, for points of a grid, in one kernel. Between layers nothing
// leaves the multiprocessor. Compiled at run time: see fused.py.
//
// A block takes a tile of 128 points with all their 64 values. Each of its 128 threads computes 8 points times 8 values, so
// that 16 numbers out of shared memory serve 64 multiplications, which is what keeps float32 units busy.

constexpr int kWidth = 64;
constexpr int kTile = 128;
constexpr int kQuads = kTile / 4;

// How many blocks a multiprocessor should hold: what its shared memory has room for, at 48 KiB each, as long as the compiler
// has registers enough.
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ == 900
constexpr int kResidentBlocks = 4;
#elif defined(__CUDA_ARCH__) && (__CUDA_ARCH__ == 1000 || __CUDA_ARCH__ == 1030)
constexpr int kResidentBlocks = 3;
#else
constexpr int kResidentBlocks = 2;
#endif

// Without the precise division, whose last bit costs a third of the layer's time; what it leaves is 2 units of the last
// place. Where exp overflows the quotient is 0, which is the limit.
inline __device__ float silu(float x) { return __fdividef(x, 1.0f + __expf(-x)); }

// Where the tile keeps four points' value `k`. Rows are permuted so that threads which write one column of different
// rows meet different banks.
inline __device__ int slot(int k, int quad) { return k * kQuads + (quad ^ (k >> 2 & 7)); }

extern "C" __global__ void __launch_bounds__(kTile, kResidentBlocks) decode_grid(
    const float* __restrict__ xy,       // (R, R, 64): the first layer's share at (x, y), as xz and yz
    const float* __restrict__ xz,
    const float* __restrict__ yz,
    const float* __restrict__ weights,  // (depth, 64, 64), from input to output
    const float* __restrict__ biases,   // (depth, 64)
    const float* __restrict__ last,     // (64,): of the last layer, the row of the density
    const float* __restrict__ last_bias,
    float* __restrict__ density,        // (R, R, R)
    int resolution,
    int depth,
    long long first,                    // the points from `first` to `stop`, that one excluded
    long long stop) {
    __shared__ float4 values[kWidth * kQuads];
    __shared__ float4 layer[kWidth * kWidth / 4];
    const int thread = threadIdx.x;
    const int column = thread & 7;  // of values: 4 from 4 x column, and 4 from 32 on
    const int quad = thread >> 3;   // of points: 4 from 4 x quad, and 4 from 64 on
    const long long tile = first + static_cast<long long>(blockIdx.x) * kTile;

    {   // The first layer is a sum of three maps. Here a thread takes one point. Those after the end repeat the last one.
        const long long point = min(tile + thread, stop - 1);
        const long long row = point / resolution;
        const long long x = row / resolution, y = row % resolution, z = point % resolution;
        const float4* a = reinterpret_cast<const float4*>(xy + row * kWidth);
        const float4* b = reinterpret_cast<const float4*>(xz + (x * resolution + z) * kWidth);
        const float4* c = reinterpret_cast<const float4*>(yz + (y * resolution + z) * kWidth);
        float* single = reinterpret_cast<float*>(values);
#pragma unroll
        for (int q = 0; q < kWidth / 4; ++q) {
            const float4 u = a[q], v = b[q], w = c[q];
            const float sums[4] = {u.x + v.x + w.x, u.y + v.y + w.y, u.z + v.z + w.z, u.w + v.w + w.w};
#pragma unroll
            for (int j = 0; j < 4; ++j) single[slot(4 * q + j, thread >> 2) * 4 + (thread & 3)] = silu(sums[j]);
        }
    }

    float sums[8][8];  // of points and values
    for (int l = 0; l < depth; ++l) {
        const float4* of_layer = reinterpret_cast<const float4*>(weights + l * kWidth * kWidth);
#pragma unroll
        for (int i = 0; i < kWidth * kWidth / 4 / kTile; ++i) layer[i * kTile + thread] = of_layer[i * kTile + thread];
        const float4 low = *reinterpret_cast<const float4*>(biases + l * kWidth + 4 * column);
        const float4 high = *reinterpret_cast<const float4*>(biases + l * kWidth + 32 + 4 * column);
        const float bias[8] = {low.x, low.y, low.z, low.w, high.x, high.y, high.z, high.w};
#pragma unroll
        for (int i = 0; i < 8; ++i)
#pragma unroll
            for (int j = 0; j < 8; ++j) sums[i][j] = bias[j];
        __syncthreads();
#pragma unroll 8
        for (int k = 0; k < kWidth; ++k) {
            const float4 p = values[slot(k, quad)], q = values[slot(k, quad + 16)];
            const float4 v = layer[k * 16 + column], w = layer[k * 16 + 8 + column];
            const float of_points[8] = {p.x, p.y, p.z, p.w, q.x, q.y, q.z, q.w};
            const float of_weights[8] = {v.x, v.y, v.z, v.w, w.x, w.y, w.z, w.w};
#pragma unroll
            for (int i = 0; i < 8; ++i)
#pragma unroll
                for (int j = 0; j < 8; ++j) sums[i][j] = fmaf(of_points[i], of_weights[j], sums[i][j]);
        }
#pragma unroll
        for (int i = 0; i < 8; ++i)
#pragma unroll
            for (int j = 0; j < 8; ++j) sums[i][j] = silu(sums[i][j]);
        __syncthreads();
#pragma unroll
        for (int j = 0; j < 8; ++j) {
            const int k = (j >> 2) * 32 + 4 * column + (j & 3);
            values[slot(k, quad)] = make_float4(sums[0][j], sums[1][j], sums[2][j], sums[3][j]);
            values[slot(k, quad + 16)] = make_float4(sums[4][j], sums[5][j], sums[6][j], sums[7][j]);
        }
    }
    __syncthreads();

    // Of the last layer one output is wanted, and again a thread takes one point.
    float raw = *last_bias;
    const float* single = reinterpret_cast<const float*>(values);
#pragma unroll 16
    for (int k = 0; k < kWidth; ++k) raw = fmaf(single[slot(k, thread >> 2) * 4 + (thread & 3)], last[k], raw);
    if (tile + thread < stop) density[tile + thread] = raw;
}
