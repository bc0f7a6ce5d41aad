//! Checkpoints in a bucket: one key a process and log.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use nexus_es::Position;
use nexus_es::ports::{Checkpoints, PortError};

use crate::bucket::{Bucket, Write};
use crate::buckets::CHECKPOINTS;
use crate::wire::Wire;

/// Checkpoints of one scope: a service.
#[derive(Debug)]
pub struct JetStreamCheckpoints {
    bucket: Bucket,
    scope: String,
}

impl JetStreamCheckpoints {
    pub(crate) fn new(wire: &Arc<Wire>, scope: &str) -> Self {
        Self { bucket: Bucket::new(wire, "checkpoints", CHECKPOINTS), scope: scope.to_owned() }
    }
}

#[async_trait]
impl Checkpoints for JetStreamCheckpoints {
    async fn load(&self, process: &str, service: &str) -> Result<Position, PortError> {
        let subject = self.bucket.subject(&[&self.scope, process, service]);
        let Some(held) = self.bucket.last(&subject).await? else { return Ok(Position::START) };
        let position = std::str::from_utf8(&held.payload).ok().and_then(|text| text.parse().ok());
        position.map(Position).ok_or_else(|| {
            self.bucket.failed(format!("the checkpoint of {process} in {service} is no position"))
        })
    }

    async fn save(
        &self,
        process: &str,
        service: &str,
        position: Position,
    ) -> Result<(), PortError> {
        let subject = self.bucket.subject(&[&self.scope, process, service]);
        // Without a guard: a late write of an earlier position only asks that work again.
        let payload = Bytes::from(position.0.to_string());
        self.bucket.put(&subject, Write { payload, ..Write::default() }).await.map(|_| ())
    }
}
