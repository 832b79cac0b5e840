// Who is asked whether to stop, and when.
#include <chrono>
#include <thread>

#include "check.hpp"
#include "fusedrnn/interrupt.hpp"

namespace {

using fusedrnn::check_interrupt;
using fusedrnn::Interrupted;
using fusedrnn::Interruptible;
using fusedrnn_test::Checks;

struct Asked {
    int times = 0;
    bool stop = false;
};

bool answer(void* context) noexcept {
    auto& asked = *static_cast<Asked*>(context);
    ++asked.times;
    check_interrupt();  // asks nobody meanwhile
    return asked.stop;
}

void wait_until_due() { std::this_thread::sleep_for(std::chrono::milliseconds(60)); }

bool stops() {
    try {
        check_interrupt();
    } catch (const Interrupted&) {
        return true;
    }
    return false;
}

void test_asked_when_due(Checks& checks) {
    Asked asked;
    const Interruptible call(answer, &asked);
    const auto began = std::chrono::steady_clock::now();
    for (int i = 0; i < 1000; ++i) check_interrupt();
    if (std::chrono::steady_clock::now() - began < std::chrono::milliseconds(40))
        checks.check(asked.times == 0, "asked %d times at once", asked.times);
    asked.times = 0;
    wait_until_due();
    check_interrupt();
    checks.check(asked.times == 1, "asked %d times when it was due", asked.times);
    asked.stop = true;
    wait_until_due();
    checks.check(stops(), "told to stop, goes on");
}

void test_innermost(Checks& checks) {
    Asked outer, inner;
    const Interruptible outer_call(answer, &outer);
    check_interrupt();
    {
        const Interruptible inner_call(answer, &inner);
        check_interrupt();
        wait_until_due();
        check_interrupt();
    }
    checks.check(outer.times == 0 && inner.times == 1, "asked the outer %d times, the inner %d", outer.times,
                 inner.times);
    check_interrupt();
    checks.check(outer.times == 1 && inner.times == 1, "the inner is gone, but was asked %d times", inner.times);
}

void test_other_threads(Checks& checks) {
    Asked asked{0, true};
    const Interruptible call(answer, &asked);
    check_interrupt();
    wait_until_due();
    bool stopped = false;
    std::thread([&] { stopped = stops(); }).join();
    checks.check(!stopped && asked.times == 0, "a thread that made no call asked");
}

}  // namespace

int main() {
    Checks checks;
    checks.check(!stops(), "nobody to ask");
    test_asked_when_due(checks);
    test_innermost(checks);
    test_other_threads(checks);
    checks.check(!stops(), "nobody left to ask");
    return checks.finish();
}
