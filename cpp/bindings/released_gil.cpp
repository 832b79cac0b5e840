// Releases Python's GIL around a computation and takes it again. Between, it can ask Python for signals.
#include "bindings/released_gil.hpp"

#include <cxxabi.h>
#include <pthread.h>
#include <unistd.h>

#include <atomic>

namespace fusedrnn::bindings {
namespace {

// As PyThread_get_thread_ident names it. Relaxed: it is written before the module is there for anyone, and in a forked
// child before there is another thread.
std::atomic<unsigned long> main_thread{0};

bool in_main_thread() { return PyThread_get_thread_ident() == main_thread.load(std::memory_order_relaxed); }

}  // namespace

void remember_main_thread() {
    const pybind11::object thread = pybind11::module_::import("threading").attr("main_thread")();
    main_thread.store(thread.attr("ident").cast<unsigned long>(), std::memory_order_relaxed);
    // In a child the thread that forked is Python's main one.
    pthread_atfork(nullptr, nullptr, [] { main_thread.store(PyThread_get_thread_ident(), std::memory_order_relaxed); });
}

ReleasedGil::ReleasedGil() : state_(PyEval_SaveThread()), interruptible_(&ReleasedGil::signal_raises, this) {}

ReleasedGil::~ReleasedGil() { take_back(); }

void ReleasedGil::take_back() noexcept {
    try {
        PyEval_RestoreThread(state_);
    } catch (abi::__forced_unwind&) {
        while (true) pause();
    }
}

bool ReleasedGil::signal_raises(void* self) noexcept {
    if (!in_main_thread()) return false;
    auto& released = *static_cast<ReleasedGil*>(self);
    released.take_back();
    const bool raised = PyErr_CheckSignals() != 0;
    released.state_ = PyEval_SaveThread();
    return raised;
}

}  // namespace fusedrnn::bindings
