// Readable recorded scripts: commands for the state machine, and what it answered. A script is a
// sequence of blocks; a block is lines of input, a line of four dashes, and the recorded output up
// to an empty line. Lines that begin with # are comments.
//
//   genesis                              one entry, as are all of the following
//   create NAME DIMENSION l2|dot|cosine [description]
//   drop NAME
//   upsert|insert NAME ID X,Y,... [attribute=type:value ...] [doc=text] [if=absent|version]
//   update NAME ID [attribute=type:value ...] [-attribute ...] [if=...]
//   delete NAME ID [if=...]
//   delete-where NAME LIMIT CONDITION...  all of them; e.g. n<int:5 or tag=str:red or n! (n is
//   missing) sealed INDEX | upgrade VERSION batch ... end                        the record
//   operations between them are one entry request ID [known=INDEX] [state=INDEX]  for the next
//   entry search NAME K X,Y,... [max=RAW] [at=INDEX] [where CONDITION...] show NAME [at=INDEX]
//   count, records root, ids and versions reclaim HORIZON
#pragma once

#include <string>

namespace stele::golden {

// Runs a whole script and gives it back with the outputs that were seen.
std::string RunScript(const std::string& script);

}  // namespace stele::golden
