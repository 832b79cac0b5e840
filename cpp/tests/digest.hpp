// Digests of result bits, and the program around them: `NAME ISA` prints those of one instruction set.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <stdexcept>
#include <string>
#include <vector>

#include "check.hpp"
#include "fusedrnn/runtime.hpp"

namespace fusedrnn_test {

// FNV-1a over the bits of numbers, least significant byte first on every machine these kernels know.
class Digest {
public:
    template <class T>
    void add(const std::vector<T>& values) {
        const auto* bytes = reinterpret_cast<const unsigned char*>(values.data());
        for (std::size_t i = 0; i < values.size() * sizeof(T); ++i) hash_ = (hash_ ^ bytes[i]) * 0x100000001B3u;
    }
    unsigned long long value() const { return hash_; }

private:
    std::uint64_t hash_ = 0xCBF29CE484222325u;
};

// Runs print() with the instruction set that the command line names. Returns what main is to return: `skipped` where
// the machine lacks it.
template <class Print>
int digests_of_isa(int argc, char** argv, Print print) {
    const std::string isa = argc == 2 ? argv[1] : "";
    const std::vector<std::string> compiled = fusedrnn::compiled_isas();
    if (std::find(compiled.begin(), compiled.end(), isa) == compiled.end()) {
        std::fprintf(stderr, "usage: %s ISA, one of those compiled in:", argv[0]);
        for (const std::string& name : compiled) std::fprintf(stderr, " %s", name.c_str());
        std::fprintf(stderr, "\n");
        return EXIT_FAILURE;
    }
    try {
        fusedrnn::use_isa(isa);
    } catch (const std::invalid_argument& error) {
        std::fprintf(stderr, "%s\n", error.what());
        return skipped;
    }
    print();
    return EXIT_SUCCESS;
}

}  // namespace fusedrnn_test
