#!/usr/bin/env bash
# Makes the package upload/pb of the contract. Needs protoc, protoc-gen-go and protoc-gen-go-grpc.
set -euo pipefail
cd "$(dirname "$0")"

contract=../../../proto/proto
files=(sluice/upload/v1/upload.proto sluice/upload/v1/upload_service.proto)
options=module=upload,Mgoogle/rpc/status.proto=google.golang.org/genproto/googleapis/rpc/status
for file in "${files[@]}"; do
    options+=,M$file=upload/pb
done
protoc -I "$contract" --go_out="$options:." --go-grpc_out="$options:." "${files[@]}"
