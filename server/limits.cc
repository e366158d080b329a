#include "server/limits.h"

#include "index/arithmetic.h"
#include "index/search.h"
#include "index/types.h"
#include "server/grpc_server.h"

namespace stele::server {

void FillLimits(v1::Limits* limits) {
  limits->set_max_message_bytes(kMessageBytesMax);
  limits->set_max_atomic_bytes(kAtomicBytesMax);
  limits->set_max_operations(index::kOperationsMax);
  limits->set_max_id_bytes(index::kIdBytesMax);
  limits->set_max_dimension(index::kDimensionMax);
  limits->set_max_k(index::kSearchKMax);
  limits->set_max_page_size(static_cast<uint32_t>(kPageSizeMax));
  limits->set_default_page_size(static_cast<uint32_t>(kPageSizeDefault));
  limits->set_max_batch_queries(static_cast<uint32_t>(kBatchQueriesMax));
  limits->set_max_attributes(index::kAttributesMax);
  limits->set_max_attribute_name_bytes(index::kAttributeNameBytesMax);
  limits->set_max_attributes_bytes(index::kAttributesBytesMax);
  limits->set_max_document_bytes(index::kDocumentBytesMax);
  limits->set_max_filter_conditions(index::kFilterConditionsMax);
  limits->set_max_filter_depth(index::kFilterDepthMax);
  limits->set_max_delete_by_filter(index::kDeleteByFilterMax);
  limits->set_max_request_id_bytes(index::kRequestIdBytesMax);
  limits->set_dedup_entries(index::kDedupEntries);
}

}  // namespace stele::server
