#include "client/record.h"

namespace stele::client {

v1::RecordInput ToProto(const Record& record) {
  v1::RecordInput proto;
  proto.set_id(record.id);
  *proto.mutable_vector() = record.vector.proto();
  for (const auto& [name, value] : record.attributes) {
    (*proto.mutable_attributes())[name] = value.proto();
  }
  proto.set_document(record.document);
  return proto;
}

v1::SearchQuery ToProto(const Query& query) {
  v1::SearchQuery proto;
  *proto.mutable_vector() = query.vector.proto();
  proto.set_k(query.k);
  if (query.filter.has_value()) *proto.mutable_filter() = query.filter->proto();
  if (query.score_threshold.has_value())
    proto.mutable_threshold()->set_score(*query.score_threshold);
  if (query.distance_raw_max.has_value()) {
    proto.mutable_threshold()->set_distance_raw_max(*query.distance_raw_max);
  }
  return proto;
}

v1::Selector ToProto(const Select& select) {
  v1::Selector proto;
  proto.set_vector(select.vector);
  proto.set_attributes(select.attributes);
  proto.set_document(select.document);
  return proto;
}

v1::Operation UpsertOperation(absl::string_view collection, v1::RecordInput record) {
  v1::Operation operation;
  operation.set_collection(std::string(collection));
  *operation.mutable_upsert() = std::move(record);
  return operation;
}

v1::Operation InsertOperation(absl::string_view collection, v1::RecordInput record) {
  v1::Operation operation;
  operation.set_collection(std::string(collection));
  *operation.mutable_insert() = std::move(record);
  return operation;
}

v1::Operation UpdateOperation(absl::string_view collection, absl::string_view id,
                              const Attributes& set, const std::vector<std::string>& remove) {
  v1::Operation operation;
  operation.set_collection(std::string(collection));
  v1::UpdateAttributes* update = operation.mutable_update_attributes();
  update->set_id(std::string(id));
  for (const auto& [name, value] : set) (*update->mutable_set())[name] = value.proto();
  for (const std::string& name : remove) update->add_remove(name);
  return operation;
}

v1::Operation DeleteOperation(absl::string_view collection, absl::string_view id) {
  v1::Operation operation;
  operation.set_collection(std::string(collection));
  operation.mutable_delete_record()->set_id(std::string(id));
  return operation;
}

}  // namespace stele::client
