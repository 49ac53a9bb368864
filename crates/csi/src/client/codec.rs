//! Messages on the wire, of whatever type their descriptors say.

use crate::shape::{DynamicMessage, MessageDescriptor};
use prost::Message;
use tonic::Status;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};

/// Writes any message; reads those of one type.
#[derive(Debug, Clone)]
pub(crate) struct Dynamic {
    reads: MessageDescriptor,
}

impl Dynamic {
    /// A codec that reads messages of this type.
    pub(crate) fn reading(reads: MessageDescriptor) -> Dynamic {
        Dynamic { reads }
    }
}

impl Codec for Dynamic {
    type Encode = DynamicMessage;
    type Decode = DynamicMessage;
    type Encoder = Dynamic;
    type Decoder = Dynamic;

    fn encoder(&mut self) -> Dynamic {
        self.clone()
    }

    fn decoder(&mut self) -> Dynamic {
        self.clone()
    }
}

impl Encoder for Dynamic {
    type Item = DynamicMessage;
    type Error = Status;

    fn encode(&mut self, message: DynamicMessage, to: &mut EncodeBuf<'_>) -> Result<(), Status> {
        message.encode(to).map_err(|error| Status::internal(format!("cannot encode: {error}")))
    }
}

impl Decoder for Dynamic {
    type Item = DynamicMessage;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<DynamicMessage>, Status> {
        let decoded = DynamicMessage::decode(self.reads.clone(), from);
        decoded.map(Some).map_err(|error| {
            Status::internal(format!("the answer is no {}: {error}", self.reads.name()))
        })
    }
}
