"""Stubs made of nothing but what a server says about itself by gRPC reflection."""

import uuid

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.json_format import MessageToDict, ParseDict
from grpc_reflection.v1alpha import reflection_pb2 as reflection

VERSIONS = ("v1", "v1alpha")
ANSWER_WITHIN = 15


class Reflected:
    """All that a server tells of its services. v1 and v1alpha have the same messages."""

    def __init__(self, channel, version):
        self.channel = channel
        self.ask = channel.stream_stream(
            f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
            request_serializer=reflection.ServerReflectionRequest.SerializeToString,
            response_deserializer=reflection.ServerReflectionResponse.FromString,
        )
        self.pool = descriptor_pool.DescriptorPool()
        self.files = {}
        listed = self.answer(list_services="").list_services_response
        self.services = sorted(service.name for service in listed.service)

    def answer(self, **question):
        asked = iter([reflection.ServerReflectionRequest(**question)])
        answer = next(iter(self.ask(asked, timeout=ANSWER_WITHIN)))
        assert not answer.HasField("error_response"), f"{question}: {answer.error_response}"
        return answer

    def learn(self, files):
        """Adds files to the pool, what they import first."""
        for file in files:
            if file.name in self.files:
                continue
            self.files[file.name] = file
            for name in file.dependency:
                if name not in self.files:
                    self.learn(self.described(file_by_filename=name))
            self.pool.Add(file)

    def described(self, **question):
        answer = self.answer(**question).file_descriptor_response
        read = descriptor_pb2.FileDescriptorProto.FromString
        return [read(file) for file in answer.file_descriptor_proto]

    def service(self, name):
        self.learn(self.described(file_containing_symbol=name))
        return self.pool.FindServiceByName(name)

    def call(self, service, rpc, body, api_key=None):
        """Calls a unary rpc with a message given as a dict; answers a dict."""
        method = self.service(service).methods_by_name[rpc]
        request = message_factory.GetMessageClass(method.input_type)
        reply = message_factory.GetMessageClass(method.output_type)
        metadata = [("idempotency-key", str(uuid.uuid4()))]
        if api_key:
            metadata.append(("authorization", f"Bearer {api_key}"))
        stub = self.channel.unary_unary(
            f"/{service}/{rpc}",
            request_serializer=request.SerializeToString,
            response_deserializer=reply.FromString,
        )
        answer = stub(ParseDict(body, request()), metadata=metadata, timeout=ANSWER_WITHIN)
        return MessageToDict(answer, preserving_proto_field_name=True)


def connect(endpoints):
    return grpc.insecure_channel(endpoints["grpc"].removeprefix("http://"))
