// The extension module torchmcubes._C: importing it registers three operators with torch.
//
// Only torch's stable ABI and Python's limited API are used, so one binary serves every torch and every Python from
// the oldest supported on. The operators write into tensors that torchmcubes/__init__.py has allocated: there a failed
// allocation is the torch.OutOfMemoryError that people expect, which the stable ABI cannot pass on.
#include <Python.h>  // limited: CMake defines Py_LIMITED_API

#include <stdexcept>
#include <string>

#include <torch/csrc/stable/accelerator.h>
#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/tensor.h>

#include "kernels.h"

// Lives in libtorch_cuda, which a torch without CUDA does not have. The module must load there all the same.
#pragma weak aoti_torch_get_current_cuda_stream

namespace torchmcubes {
namespace {

using torch::headeronly::ScalarType;
using torch::stable::Tensor;

void require(bool condition, const char* what) {
    if (!condition) throw std::runtime_error(std::string("torchmcubes: ") + what);
}

// The memory of a tensor, once it is known to be what a kernel may touch. `__init__.py` says the same in kinder words;
// this stands between a wrong call of the bare operators and a wild pointer.
template <typename T>
T* memory(const Tensor& tensor, ScalarType type, std::int64_t numel, const Tensor& volume) {
    require(tensor.scalar_type() == type, "a tensor has the wrong dtype");
    require(tensor.is_contiguous(), "a tensor is not contiguous");
    require(tensor.numel() == numel, "a tensor has the wrong size");
    require(tensor.is_cuda() == volume.is_cuda() && tensor.get_device_index() == volume.get_device_index(),
            "the tensors are on different devices");
    return static_cast<T*>(tensor.data_ptr());
}

Grid grid_of(const Tensor& volume, double level) {
    require(volume.dim() == 3, "the volume must have 3 dimensions");
    return {memory<const float>(volume, ScalarType::Float, volume.numel(), volume),
            volume.size(2), volume.size(1), volume.size(0), static_cast<float>(level)};
}

std::int64_t blocks_in(const Tensor& volume) { return (volume.numel() + kBlockPoints - 1) / kBlockPoints; }

Slot* slots_of(const Tensor& slots, const Tensor& volume) {
    return memory<Slot>(slots, ScalarType::Short, volume.numel(), volume);  // torch's uint16 is not for all versions
}

Counts counts_of(const Tensor& vertices, const Tensor& faces, const Tensor& volume) {
    return {memory<std::int32_t>(vertices, ScalarType::Int, blocks_in(volume), volume),
            memory<std::int32_t>(faces, ScalarType::Int, blocks_in(volume), volume)};
}

Ends ends_of(const Tensor& vertices, const Tensor& faces, const Tensor& volume) {
    return {memory<const std::int64_t>(vertices, ScalarType::Long, blocks_in(volume), volume),
            memory<const std::int64_t>(faces, ScalarType::Long, blocks_in(volume), volume)};
}

Mesh mesh_of(const Tensor& vertices, const Tensor& faces, const Tensor& volume) {
    return {memory<float>(vertices, ScalarType::Float, vertices.numel(), volume),
            memory<std::int32_t>(faces, ScalarType::Int, faces.numel(), volume)};
}

Samples samples_of(const Tensor& volume, const Tensor& points, const Tensor& out) {
    require(volume.dim() == 4 && volume.numel() > 0, "the volume must have 4 dimensions, none of them empty");
    require(points.dim() == 2 && points.size(1) == 3, "the points must be of shape (P, 3)");
    return {memory<const float>(volume, ScalarType::Float, volume.numel(), volume),
            volume.size(0), volume.size(3), volume.size(2), volume.size(1),
            memory<const float>(points, ScalarType::Float, points.numel(), volume), points.size(0),
            memory<float>(out, ScalarType::Float, points.size(0) * volume.size(0), volume)};
}

// The device of a tensor made current, until the end of the scope, and its current stream.
class CudaScope {
public:
    explicit CudaScope(const Tensor& tensor) : guard_(tensor.get_device_index()) {
        require(aoti_torch_get_current_cuda_stream != nullptr, "this torch was built without CUDA");
        void* stream = nullptr;
        TORCH_ERROR_CODE_CHECK(aoti_torch_get_current_cuda_stream(tensor.get_device_index(), &stream));
        stream_ = static_cast<CudaStream>(stream);
    }
    CudaStream stream() const { return stream_; }

private:
    torch::stable::accelerator::DeviceGuard guard_;
    CudaStream stream_ = nullptr;
};

// The operators. Those for CUDA take the number of threads only because both share a schema.

void count_cpu(const Tensor& volume, double level, const Tensor& slots, const Tensor& vertices, const Tensor& faces,
               std::int64_t threads) {
    const Grid grid = grid_of(volume, level);
    count_on_cpu(grid, slots_of(slots, volume), counts_of(vertices, faces, volume), static_cast<int>(threads));
}

void count_cuda(const Tensor& volume, double level, const Tensor& slots, const Tensor& vertices, const Tensor& faces,
                std::int64_t /*threads*/) {
    const Grid grid = grid_of(volume, level);
    const CudaScope scope(volume);
    count_on_cuda(grid, slots_of(slots, volume), counts_of(vertices, faces, volume), scope.stream());
}

void emit_cpu(const Tensor& volume, double level, const Tensor& slots, const Tensor& vertex_ends,
              const Tensor& face_ends, const Tensor& vertices, const Tensor& faces, std::int64_t threads) {
    const Grid grid = grid_of(volume, level);
    emit_on_cpu(grid, slots_of(slots, volume), ends_of(vertex_ends, face_ends, volume),
                mesh_of(vertices, faces, volume), static_cast<int>(threads));
}

void emit_cuda(const Tensor& volume, double level, const Tensor& slots, const Tensor& vertex_ends,
               const Tensor& face_ends, const Tensor& vertices, const Tensor& faces, std::int64_t /*threads*/) {
    const Grid grid = grid_of(volume, level);
    const CudaScope scope(volume);
    emit_on_cuda(grid, slots_of(slots, volume), ends_of(vertex_ends, face_ends, volume),
                 mesh_of(vertices, faces, volume), scope.stream());
}

void sample_cpu(const Tensor& volume, const Tensor& points, const Tensor& out, std::int64_t threads) {
    sample_on_cpu(samples_of(volume, points, out), static_cast<int>(threads));
}

void sample_cuda(const Tensor& volume, const Tensor& points, const Tensor& out, std::int64_t /*threads*/) {
    const Samples samples = samples_of(volume, points, out);
    const CudaScope scope(volume);
    sample_on_cuda(samples, scope.stream());
}

}  // namespace
}  // namespace torchmcubes

STABLE_TORCH_LIBRARY(torchmcubes, library) {
    library.def("_count(Tensor volume, float level, Tensor(a!) slots, Tensor(b!) vertices, Tensor(c!) faces, "
                "int threads) -> ()");
    library.def("_emit(Tensor volume, float level, Tensor slots, Tensor vertex_ends, Tensor face_ends, "
                "Tensor(a!) vertices, Tensor(b!) faces, int threads) -> ()");
    library.def("_sample(Tensor volume, Tensor points, Tensor(a!) out, int threads) -> ()");
}

STABLE_TORCH_LIBRARY_IMPL(torchmcubes, CPU, library) {
    library.impl("_count", TORCH_BOX(&torchmcubes::count_cpu));
    library.impl("_emit", TORCH_BOX(&torchmcubes::emit_cpu));
    library.impl("_sample", TORCH_BOX(&torchmcubes::sample_cpu));
}

STABLE_TORCH_LIBRARY_IMPL(torchmcubes, CUDA, library) {
    library.impl("_count", TORCH_BOX(&torchmcubes::count_cuda));
    library.impl("_emit", TORCH_BOX(&torchmcubes::emit_cuda));
    library.impl("_sample", TORCH_BOX(&torchmcubes::sample_cuda));
}

PyMODINIT_FUNC PyInit__C() {
    static PyModuleDef definition = {
        PyModuleDef_HEAD_INIT, "torchmcubes._C", "Registers torch.ops.torchmcubes.", -1,
        nullptr, nullptr, nullptr, nullptr, nullptr};
    return PyModule_Create(&definition);
}
