"""The wire contract, package stele.v1: modules generated from proto/stele/v1/*.proto."""
