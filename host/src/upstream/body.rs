//! The response body as it comes from the origin, while the rest of the request body goes there.

use crate::message::BodyError;
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll};

/// A response body. Its size hint is exact if the origin stated a length.
pub struct Body<B> {
    request: PhantomData<B>,
}

impl<B> http_body::Body for Body<B>
where
    B: http_body::Body<Data = Bytes, Error = BodyError> + Unpin,
{
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        unimplemented!("step 0")
    }

    fn is_end_stream(&self) -> bool {
        unimplemented!("step 0")
    }

    fn size_hint(&self) -> SizeHint {
        unimplemented!("step 0")
    }
}
