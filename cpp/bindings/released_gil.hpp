// The interpreter's lock let go of while the core computes.
#pragma once

#include <cxxabi.h>
#include <unistd.h>

#include <pybind11/pybind11.h>

namespace fusedrnn::bindings {

// As py::gil_scoped_release. But when the interpreter has ended meanwhile, taking the lock back ends a daemon thread by
// unwinding it, which must not pass a destructor (std::terminate) nor release what belongs to Python without the lock: such a
// thread waits here until the process is gone.
class ReleasedGil {
public:
    ReleasedGil() : state_(PyEval_SaveThread()) {}
    ReleasedGil(const ReleasedGil&) = delete;
    ReleasedGil& operator=(const ReleasedGil&) = delete;
    ~ReleasedGil() {
        try {
            PyEval_RestoreThread(state_);
        } catch (abi::__forced_unwind&) {
            while (true) pause();
        }
    }

private:
    PyThreadState* state_;
};

}  // namespace fusedrnn::bindings
