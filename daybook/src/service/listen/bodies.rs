//! Bodies in transit: a request's body, with a note of when the server waits for it, and an answer's body, which counts
//! as being answered until all of it is passed on. They change no byte.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::body::Body;
use bytes::Bytes;
use hyper::body::{Frame, Incoming, SizeHint};

use super::activity::Activity;
use super::streams::Answer;

/// The most bytes that are passed on at a time if several answers share a connection: otherwise the server would hold
/// all that a client stream does not read, and could not see whether it moves.
const PIECE: usize = 16 * 1024;

/// A request that is worked on or answered.
pub(super) struct Request(Arc<Activity>);

impl Request {
    pub(super) fn begin(activity: &Arc<Activity>, many: bool) -> Self {
        activity.begin(many);
        Self(Arc::clone(activity))
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// The body of a request.
pub(super) struct Arriving {
    body: Incoming,
    activity: Arc<Activity>,
    awaited: bool,
}

impl Arriving {
    pub(super) fn new(body: Incoming, activity: &Arc<Activity>) -> Self {
        Self { body, activity: Arc::clone(activity), awaited: false }
    }

    fn came(&mut self) {
        if std::mem::take(&mut self.awaited) {
            self.activity.body_came();
        }
    }
}

impl hyper::body::Body for Arriving {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let poll = Pin::new(&mut self.body).poll_frame(context);
        if poll.is_ready() {
            self.came();
        } else if !self.awaited {
            self.awaited = true;
            self.activity.body_awaited();
        }
        poll
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Arriving {
    fn drop(&mut self) {
        self.came();
    }
}

/// The body of an answer.
pub(super) struct Answering {
    body: Body,
    /// What the body gave and was not handed over yet.
    rest: Bytes,
    /// The stream that it goes out on, where several share a connection.
    answer: Option<Arc<Answer>>,
    _request: Request,
}

impl Answering {
    pub(super) fn new(body: Body, answer: Option<Arc<Answer>>, request: Request) -> Self {
        if let Some(answer) = &answer {
            answer.begin();
        }
        Self { body, rest: Bytes::new(), answer, _request: request }
    }
}

impl hyper::body::Body for Answering {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let Some(answer) = self.answer.clone() else {
            return Pin::new(&mut self.body).poll_frame(context);
        };
        if self.rest.is_empty() {
            match ready!(Pin::new(&mut self.body).poll_frame(context)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => self.rest = data,
                    Err(other) => return Poll::Ready(Some(Ok(other))),
                },
                ended => return Poll::Ready(ended),
            }
        }
        let size = self.rest.len().min(PIECE);
        answer.moved(size);
        Poll::Ready(Some(Ok(Frame::data(self.rest.split_to(size)))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (body, rest) = (self.body.size_hint(), self.rest.len() as u64);
        let mut hint = SizeHint::new();
        hint.set_lower(body.lower() + rest);
        if let Some(upper) = body.upper() {
            hint.set_upper(upper + rest);
        }
        hint
    }
}
