#include "daemon/base/memory.h"

#include <gtest/gtest.h>
#include <unistd.h>

namespace warmd {
namespace {

TEST(Memory, WhatIsAvailableIsPartOfWhatThereIs)
{
    const auto all = static_cast<std::uint64_t>(::sysconf(_SC_PHYS_PAGES)) *
                     static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
    EXPECT_GT(available_memory(), std::uint64_t{1} << 20U) << "it is in bytes";
    EXPECT_LE(available_memory(), all);
}

}  // namespace
}  // namespace warmd
