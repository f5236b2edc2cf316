// The geometry of marching cubes, shared word for word by the CPU and the GPU path.
//
// The mesh is made point by point. A grid point owns the three edges that leave it along +x, +y and +z, and the cell
// whose lowest corner it is. An edge belongs to exactly one point, so a vertex is made once and every triangle around
// it finds the same one: vertices are shared by construction, never by comparing coordinates.
#pragma once

#include <cmath>
#include <cstdint>

#include "case_tables.h"
#include "kernels.h"
#include "portable.h"

namespace torchmcubes {

struct Point {
    std::int64_t index;  // into Grid::values
    std::int64_t at[3];  // x, y, z
};

PORT_FN Point locate(const Grid& grid, std::int64_t index) {
    if (grid.points() <= UINT32_MAX) {
        // A GPU divides 64-bit numbers in some hundred instructions: take the short way where it is open.
        const auto small = static_cast<std::uint32_t>(index);
        const auto nx = static_cast<std::uint32_t>(grid.nx);
        const auto ny = static_cast<std::uint32_t>(grid.ny);
        return {index, {small % nx, small / nx % ny, small / nx / ny}};
    }
    return {index, {index % grid.nx, index / grid.nx % grid.ny, index / grid.nx / grid.ny}};
}

// How far the neighbour of a point along each axis lies in memory. Zero at the far border: the point then stands in
// for the neighbour it lacks, and an edge from a point to itself never crosses the surface.
struct Steps {
    std::int64_t along[3];

    PORT_FN bool whole_cell() const { return along[0] && along[1] && along[2]; }
    PORT_FN std::int64_t to_corner(int corner) const {
        return (corner & 1 ? along[0] : 0) + (corner & 2 ? along[1] : 0) + (corner & 4 ? along[2] : 0);
    }
};

PORT_FN Steps steps_from(const Grid& grid, const Point& point) {
    return {{point.at[0] + 1 < grid.nx ? 1 : 0,
             point.at[1] + 1 < grid.ny ? grid.nx : 0,
             point.at[2] + 1 < grid.nz ? grid.nx * grid.ny : 0}};
}

PORT_FN bool is_finite(float value) { return std::fabs(value) <= 3.402823466e+38F; }  // false for NaN

PORT_FN bool all_corners_finite(const float* lowest, const Steps& steps) {
    bool finite = true;
    for (int corner = 0; corner < 8; ++corner) finite &= is_finite(lowest[steps.to_corner(corner)]);
    return finite;
}

// Whether some cell around an edge is whole and finite, so that a triangle will use the vertex on it.
PORT_RARE_FN bool edge_is_used(Grid grid, Point point, int axis) {
    const int u = (axis + 1) % 3;
    const int v = (axis + 2) % 3;
    const std::int64_t strides[3] = {1, grid.nx, grid.nx * grid.ny};
    for (int side = 0; side < 4; ++side) {
        Point lowest = point;
        lowest.at[u] -= side & 1;
        lowest.at[v] -= side >> 1;
        if (lowest.at[u] < 0 || lowest.at[v] < 0) continue;
        lowest.index -= (side & 1) * strides[u] + (side >> 1) * strides[v];
        const Steps steps = steps_from(grid, lowest);
        if (steps.whole_cell() && all_corners_finite(grid.values + lowest.index, steps)) return true;
    }
    return false;
}

// What a point contributes: a bit for each owned edge that gets a vertex, and the triangles of its cell.
struct Share {
    unsigned vertices;        // bit `axis`
    std::uint64_t triangles;  // a word of kCases; 0 where the cell is missing, uncut or not finite

    PORT_FN unsigned vertex_count() const { return (vertices & 1) + (vertices >> 1 & 1) + (vertices >> 2); }
    PORT_FN unsigned triangle_count() const { return static_cast<unsigned>(triangles >> 60); }
};

// Whether all corners of a point's cell are on one side of the surface, so that the point contributes nothing. The
// neighbours are read as they lie in memory: to know a border, one has to know where the point is, and on a GPU that
// costs more than all the rest. At a border the true corners are some of those that are read, so "yes" is right
// everywhere, while "no" leaves it to `share_of`.
PORT_FN bool is_uncut(const Grid& grid, std::int64_t index) {
    const std::int64_t slice = grid.nx * grid.ny;
    if (index + slice + grid.nx + 1 >= slice * grid.nz) return false;
    const float* const value = grid.values + index;
    const bool here = value[0] < grid.level;
    bool cut = (value[1] < grid.level) != here;
    cut |= (value[grid.nx] < grid.level) != here;
    cut |= (value[grid.nx + 1] < grid.level) != here;
    cut |= (value[slice] < grid.level) != here;
    cut |= (value[slice + 1] < grid.level) != here;
    cut |= (value[slice + grid.nx] < grid.level) != here;
    cut |= (value[slice + grid.nx + 1] < grid.level) != here;
    return !cut;
}

PORT_FN Share share_of(const Grid& grid, const Point& point) {
    const float* const value = grid.values + point.index;
    const Steps steps = steps_from(grid, point);
    unsigned inside = 0;
    for (int corner = 0; corner < 8; ++corner) {
        // "Not below" rather than "at least": the convention of the original, which counts NaN as inside.
        inside |= static_cast<unsigned>(!(value[steps.to_corner(corner)] < grid.level)) << corner;
    }
    if (inside == 0x00 || inside == 0xff) return {0, 0};

    const unsigned here = inside & 1;
    unsigned crossed = (inside >> 1 & 1) ^ here;
    crossed |= ((inside >> 2 & 1) ^ here) << 1;
    crossed |= ((inside >> 4 & 1) ^ here) << 2;
    if (steps.whole_cell() && all_corners_finite(value, steps)) return {crossed, kCases[inside]};

    // At a border, or next to a NaN or an infinity: keep the vertices that another cell will use.
    for (int axis = 0; axis < 3; ++axis) {
        if ((crossed >> axis & 1) && !edge_is_used(grid, point, axis)) crossed &= ~(1U << axis);
    }
    return {crossed, 0};
}

PORT_FN Slot make_slot(unsigned vertices_before, const Share& share) {
    return static_cast<Slot>(vertices_before << 3 | share.vertices);
}

PORT_FN std::int64_t vertex_on_edge(const Slot* slots, const Ends& ends, std::int64_t point, int axis) {
    const unsigned slot = slots[point];
    const unsigned below = slot & ((1U << axis) - 1);  // vertices on the point's edges along lower axes: 0 to 2
    return ends.first_vertex(point / kBlockPoints) + (slot >> 3) + (below & 1) + (below >> 1);
}

// Writes the vertices of a point, in the order of their axes.
PORT_FN void emit_vertices(const Grid& grid, const Point& point, unsigned vertices, float* out) {
    const Steps steps = steps_from(grid, point);
    // In double, the differences cannot overflow and the crossing is rounded once, alike on every processor.
    const double here = grid.values[point.index];
    for (int axis = 0; axis < 3; ++axis) {
        if (!(vertices >> axis & 1)) continue;
        const double there = grid.values[point.index + steps.along[axis]];
        const double t = (grid.level - here) / (there - here);
        for (int i = 0; i < 3; ++i) {
            out[i] = static_cast<float>(static_cast<double>(point.at[i]) + (i == axis ? t : 0.0));
        }
        out += 3;
    }
}

// Writes the triangles of a point's cell.
PORT_FN void emit_faces(const Grid& grid, const Point& point, std::uint64_t triangles, const Slot* slots,
                        const Ends& ends, std::int32_t* out) {
    const Steps steps = steps_from(grid, point);
    for (int left = static_cast<int>(triangles >> 60); left > 0; --left, out += 3) {
        std::int32_t found[3];  // looked up before the first is stored, so that all are fetched at once
        for (int i = 0; i < 3; ++i, triangles >>= 4) {
            const int axis = static_cast<int>(triangles >> 2 & 3);
            const int place = static_cast<int>(triangles & 3);
            // The corner that owns the edge: `place` with a zero bit inserted at position `axis`.
            const int corner = place >> axis << (axis + 1) | (place & ((1 << axis) - 1));
            found[i] =
                static_cast<std::int32_t>(vertex_on_edge(slots, ends, point.index + steps.to_corner(corner), axis));
        }
        for (int i = 0; i < 3; ++i) out[i] = found[i];
    }
}

}  // namespace torchmcubes
