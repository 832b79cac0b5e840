// The features that the processor offers and the operating system saves: each is read, none is guessed from a model.
#pragma once

namespace fusedrnn {

struct CpuFeatures {
    bool avx2_fma = false;        // AVX2 and FMA, YMM state enabled
    bool avx512_skylake = false;  // AVX-512 F, DQ, BW, VL, with AVX2 and FMA; ZMM and mask state enabled
    bool neon = false;
};

const CpuFeatures& cpu_features();

}  // namespace fusedrnn
