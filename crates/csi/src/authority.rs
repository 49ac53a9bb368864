//! Lets every gRPC client in over a Unix socket, whatever it calls the host there.
//!
//! A client written in Go that dials the bare path of a socket sends that path as `:authority`,
//! percent-encoded, and the kubelet does so at the registration socket. h2 refuses the stream
//! (`PROTOCOL_ERROR`) before any of our code sees it. Over a Unix socket the authority says nothing, so
//! it is replaced below h2, in the bytes as they arrive.

mod walk;

#[cfg(test)]
mod tests;

pub use walk::Walk;

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tonic::transport::server::Connected;

/// The server's side of a connection, whose requests reach the reader with an authority that h2 takes.
///
/// What is written passes as it is; so does everything read that is no HTTP/2. It holds back at most one
/// frame of headers, which no reader could use in part.
#[derive(Debug)]
pub struct AnyAuthority<S> {
    inner: S,
    walk: Walk,
    /// What the walk gave and the reader did not take yet, from `taken` on.
    ready: Vec<u8>,
    taken: usize,
}

impl<S> AnyAuthority<S> {
    /// Over a connection from which nothing has been read yet.
    pub fn new(inner: S) -> AnyAuthority<S> {
        AnyAuthority { inner, walk: Walk::default(), ready: Vec::new(), taken: 0 }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for AnyAuthority<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        while buffer.remaining() > 0 {
            let rest = this.ready.get(this.taken..).unwrap_or_default();
            if !rest.is_empty() {
                let count = rest.len().min(buffer.remaining());
                buffer.put_slice(&rest[..count]);
                this.taken += count;
                break;
            }
            this.ready.clear();
            this.taken = 0;
            // The reader's own buffer is where the walk's input is read to.
            let before = buffer.filled().len();
            ready!(Pin::new(&mut this.inner).poll_read(context, buffer))?;
            let arrived = &buffer.filled()[before..];
            if arrived.is_empty() {
                this.walk.end(&mut this.ready);
                if this.ready.is_empty() {
                    break;
                }
            } else {
                this.walk.feed(arrived, &mut this.ready);
                buffer.set_filled(before);
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for AnyAuthority<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().inner).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().inner).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_shutdown(context)
    }
}

impl<S: Connected> Connected for AnyAuthority<S> {
    type ConnectInfo = S::ConnectInfo;

    fn connect_info(&self) -> S::ConnectInfo {
        self.inner.connect_info()
    }
}
