// Splitting a loop over threads, without a dependency on an OpenMP runtime that torch may have a second copy of.
#pragma once

#include <algorithm>
#include <cstdint>
#include <system_error>
#include <thread>
#include <vector>

namespace torchmcubes {

// Calls work(begin, end) for parts of [0, count) of at least `least` each, on up to `threads` threads. The work must
// not throw.
template <typename Work>
void split(std::int64_t count, std::int64_t least, int threads, const Work& work) {
    const std::int64_t parts = std::max<std::int64_t>(1, std::min<std::int64_t>(threads, count / least));
    const std::int64_t size = (count + parts - 1) / parts;
    std::vector<std::thread> helpers;
    helpers.reserve(static_cast<std::size_t>(parts));
    std::int64_t begin = 0;
    try {
        for (; begin + size < count; begin += size) helpers.emplace_back(work, begin, begin + size);
    } catch (const std::system_error&) {
        // The system has no more threads for us: what is left is done here.
    }
    work(begin, count);
    for (std::thread& helper : helpers) helper.join();
}

}  // namespace torchmcubes
