// The version of the product, as GetServerInfo, --version and the metrics tell it.
#pragma once

#include <string_view>

namespace stele::server {

inline constexpr std::string_view kVersion = "0.1.0";

}  // namespace stele::server
