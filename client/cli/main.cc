// The `stele` command line. Everything is in the library beside it, so that tests can link it.
#include "client/cli/context.h"

int main(int argc, char** argv) { return stele::client::cli::Main(argc, argv); }
