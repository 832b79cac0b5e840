// The one attribute every kernel function carries: nothing here may survive as a call or as a weak symbol.
#pragma once

#define FUSEDRNN_INLINE [[gnu::always_inline]] inline
