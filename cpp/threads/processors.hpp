#pragma once
namespace fusedrnn {
int usable_processors();
int processors_now();
}
