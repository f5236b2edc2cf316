#include "cell.h"
#include "kernels.h"
#include "threads.h"

namespace torchmcubes {
namespace {

constexpr std::int64_t kLeastBlocks = 64;  // a thread costs about as much to start as this many blocks to handle

std::int64_t blocks_of(const Grid& grid) { return (grid.points() + kBlockPoints - 1) / kBlockPoints; }

Share share_at(const Grid& grid, const Point& point) {
    return is_uncut(grid, point.index) ? Share{0, 0} : share_of(grid, point);
}

// Calls visit(point) for the points of a block, in order.
template <typename Visit>
void for_points(const Grid& grid, std::int64_t block, const Visit& visit) {
    Point point = locate(grid, block * kBlockPoints);
    const std::int64_t end = std::min(grid.points(), point.index + kBlockPoints);
    while (point.index < end) {
        visit(point);
        ++point.index;
        if (++point.at[0] < grid.nx) continue;
        point.at[0] = 0;
        if (++point.at[1] < grid.ny) continue;
        point.at[1] = 0;
        ++point.at[2];
    }
}

}  // namespace

void count_on_cpu(const Grid& grid, Slot* slots, const Counts& counts, int threads) {
    split(blocks_of(grid), kLeastBlocks, threads, [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t block = begin; block < end; ++block) {
            unsigned vertices = 0;
            unsigned faces = 0;
            for_points(grid, block, [&](const Point& point) {
                const Share share = share_at(grid, point);
                slots[point.index] = make_slot(vertices, share);
                vertices += share.vertex_count();
                faces += share.triangle_count();
            });
            counts.vertices[block] = static_cast<std::int32_t>(vertices);
            counts.faces[block] = static_cast<std::int32_t>(faces);
        }
    });
}

void emit_on_cpu(const Grid& grid, const Slot* slots, const Ends& ends, const Mesh& mesh, int threads) {
    split(blocks_of(grid), kLeastBlocks, threads, [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t block = begin; block < end; ++block) {
            if (ends.is_empty(block)) continue;
            float* vertices = mesh.vertices + 3 * ends.first_vertex(block);
            std::int32_t* faces = mesh.faces + 3 * ends.first_face(block);
            for_points(grid, block, [&](const Point& point) {
                const Share share = share_at(grid, point);
                emit_vertices(grid, point, share.vertices, vertices);
                emit_faces(grid, point, share.triangles, slots, ends, faces);
                vertices += 3 * share.vertex_count();
                faces += 3 * share.triangle_count();
            });
        }
    });
}

}  // namespace torchmcubes
