#include "daemon/model/priming.h"

#include "daemon/base/enum_names.h"

namespace warmd {

namespace {

constexpr EnumNames<PrimingState, 5> kStates{{{{PrimingState::off, "off"},
                                               {PrimingState::pending, "pending"},
                                               {PrimingState::running, "running"},
                                               {PrimingState::done, "done"},
                                               {PrimingState::failed, "failed"}}}};

}  // namespace

std::string_view to_string(PrimingState state) { return kStates.name(state); }

}  // namespace warmd
