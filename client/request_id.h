// Request ids: what lets the server run a retried write once.
#pragma once

#include <string>

namespace stele::client {

// 128 random bits from the operating system, as 32 lower-case hexadecimal digits. Thread-safe.
std::string NewRequestId();

}  // namespace stele::client
