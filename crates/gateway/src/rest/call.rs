//! Calls an rpc that is known only by its descriptor.

use std::time::Duration;

use nexus_es::Actor;
use nexus_runtime::channels::DEADLINE;
use nexus_runtime::{Channels, caller, reply, telemetry};
use prost::Message;
use prost_reflect::{DynamicMessage, MessageDescriptor};
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::metadata::MetadataValue;
use tonic::{Request, Status};

use super::problem::Problem;
use super::routes::Route;

/// For the one call whose length grows with the log.
const PATIENT: Duration = Duration::from_secs(3600);

pub(crate) struct Call<'a> {
    pub(crate) route: &'a Route,
    pub(crate) actor: &'a Actor,
    pub(crate) key: Option<&'a str>,
    pub(crate) message: DynamicMessage,
}

pub(crate) struct Answered {
    pub(crate) message: DynamicMessage,
    pub(crate) replayed: bool,
}

impl Call<'_> {
    pub(crate) async fn send(self, channels: &Channels) -> Result<Answered, Problem> {
        let rpc = &self.route.rpc;
        let path = format!("/{}/{}", rpc.parent_service().full_name(), rpc.name());
        let path = http::uri::PathAndQuery::try_from(path)
            .map_err(|error| Problem::of(&Status::internal(error.to_string())))?;
        let mut request = Request::new(self.message);
        // Only rebuilding takes as long as the log is.
        let patient = rpc.name() == "RebuildViews";
        request.set_timeout(if patient { PATIENT } else { DEADLINE });
        channels.vouch(request.metadata_mut(), self.actor);
        let traceparent = telemetry::current_traceparent();
        let named = [(caller::IDEMPOTENCY_KEY, self.key), ("traceparent", Some(&*traceparent))];
        for (name, value) in named {
            let value = value.filter(|value| !value.is_empty()).map(MetadataValue::try_from);
            if let Some(Ok(value)) = value {
                request.metadata_mut().insert(name, value);
            }
        }
        let mut client = tonic::client::Grpc::new(channels.channel())
            .max_decoding_message_size(nexus_runtime::channels::MAX_MESSAGE);
        client.ready().await.map_err(|error| {
            tracing::error!("a service cannot be reached: {error}");
            Problem::of(&nexus_runtime::status::unavailable(
                "the service is not there yet, try again",
            ))
        })?;
        let codec = DynamicCodec { output: rpc.output() };
        let answer = client.unary(request, path, codec).await.map_err(|no| Problem::of(&no))?;
        let replayed = answer.metadata().contains_key(reply::REPLAYED);
        Ok(Answered { message: answer.into_inner(), replayed })
    }
}

struct DynamicCodec {
    output: MessageDescriptor,
}

impl Codec for DynamicCodec {
    type Encode = DynamicMessage;
    type Decode = DynamicMessage;
    type Encoder = DynamicEncoder;
    type Decoder = DynamicDecoder;

    fn encoder(&mut self) -> DynamicEncoder {
        DynamicEncoder
    }

    fn decoder(&mut self) -> DynamicDecoder {
        DynamicDecoder { output: self.output.clone() }
    }
}

struct DynamicEncoder;

impl Encoder for DynamicEncoder {
    type Item = DynamicMessage;
    type Error = Status;

    fn encode(&mut self, item: DynamicMessage, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        item.encode(buffer).map_err(|error| Status::internal(error.to_string()))
    }
}

struct DynamicDecoder {
    output: MessageDescriptor,
}

impl Decoder for DynamicDecoder {
    type Item = DynamicMessage;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<DynamicMessage>, Status> {
        let decoded = DynamicMessage::decode(self.output.clone(), buffer);
        decoded.map(Some).map_err(|error| Status::internal(error.to_string()))
    }
}
