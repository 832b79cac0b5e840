// The interpreter's lock let go of while the core computes.
#pragma once

#include <pybind11/pybind11.h>

#include "fusedrnn/interrupt.hpp"

namespace fusedrnn::bindings {

// As py::gil_scoped_release. But when the interpreter has ended meanwhile, taking the lock back ends a daemon thread by
// unwinding it, which must not pass a destructor (std::terminate) nor release what belongs to Python without the lock:
// such a thread waits here until the process is gone. And in Python's main thread, where signals are handled, the
// core's calls look for signals: they throw Interrupted when a handler has raised an exception, which then is this
// thread's, as PyErr_Occurred says.
class ReleasedGil {
public:
    ReleasedGil();
    ReleasedGil(const ReleasedGil&) = delete;
    ReleasedGil& operator=(const ReleasedGil&) = delete;
    ~ReleasedGil();

private:
    static bool signal_raises(void* self) noexcept;
    void take_back() noexcept;

    PyThreadState* state_;
    Interruptible interruptible_;
};

// Finds out which thread is the main one. Once, when the module is made.
void remember_main_thread();

}  // namespace fusedrnn::bindings
