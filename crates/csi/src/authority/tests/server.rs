//! h2 and tonic, with the walk below them and without it.

use super::*;
use crate::protocol::registration::registration_server::{
    Registration as Service, RegistrationServer,
};
use crate::protocol::registration::{
    InfoRequest, PluginInfo, RegistrationStatus, RegistrationStatusResponse,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tonic::codegen::tokio_stream;
use tonic::{Request, Response, Status};

struct Answer;

#[tonic::async_trait]
impl Service for Answer {
    async fn get_info(&self, _: Request<InfoRequest>) -> Result<Response<PluginInfo>, Status> {
        Ok(Response::new(PluginInfo { name: "answered".to_owned(), ..PluginInfo::default() }))
    }

    async fn notify_registration_status(
        &self,
        _: Request<RegistrationStatus>,
    ) -> Result<Response<RegistrationStatusResponse>, Status> {
        Err(Status::unimplemented("not asked for"))
    }
}

/// What a client with this authority sends to ask for `GetInfo`: settings, headers, an empty message.
fn request(authority: &str) -> Vec<u8> {
    let field = |name: &str, value: &str| [&[0], &literal(name)[..], &literal(value)].concat();
    let headers = [
        // POST, http.
        vec![0x83, 0x86],
        [&[0x04], literal("/pluginregistration.Registration/GetInfo").as_slice()].concat(),
        [&[0x41], literal(authority).as_slice()].concat(),
        field("content-type", "application/grpc"),
        field("te", "trailers"),
    ];
    let mut settings = frame(4, 0, &[]);
    settings[8] = 0;
    let data = frame(0, END_STREAM, &[0; 5]);
    [connection(&settings), frame(HEADERS, END_HEADERS, &headers.concat()), data].concat()
}

/// The kinds of the frames a server sends of stream 1 until it is done with that, and all their bytes.
async fn answer(mut client: DuplexStream, request: &[u8]) -> (Vec<u8>, Vec<u8>) {
    client.write_all(request).await.unwrap();
    let (mut kinds, mut bytes) = (Vec::new(), Vec::new());
    loop {
        let mut header = [0; 9];
        client.read_exact(&mut header).await.unwrap();
        let length = u32::from_be_bytes([0, header[0], header[1], header[2]]);
        let mut payload = vec![0; usize::try_from(length).unwrap()];
        client.read_exact(&mut payload).await.unwrap();
        let (kind, flags) = (header[3], header[4]);
        if header[5..] == [0, 0, 0, 1] {
            kinds.push(kind);
            bytes.extend(payload);
            const RST_STREAM: u8 = 3;
            if kind == RST_STREAM || (kind == HEADERS && flags & END_STREAM != 0) {
                return (kinds, bytes);
            }
        }
    }
}

async fn asked<S>(wrap: fn(DuplexStream) -> S, authority: &str) -> (Vec<u8>, Vec<u8>)
where
    S: AsyncRead + AsyncWrite + Connected + Unpin + Send + 'static,
{
    let (client, server) = tokio::io::duplex(64);
    let incoming = tokio_stream::once(Ok::<S, std::io::Error>(wrap(server)));
    let service = RegistrationServer::new(Answer);
    let builder = tonic::transport::Server::builder().add_service(service);
    tokio::spawn(builder.serve_with_incoming(incoming));
    answer(client, &request(authority)).await
}

/// The second half is why the first exists: it fails when h2 takes such an authority by itself.
#[test]
fn h2_takes_a_path_as_the_authority_with_the_walk_below_it_and_not_without() {
    const PATH: &str = "%2Fvar%2Flib%2Fkubelet%2Fplugins_registry%2Fx-reg.sock";
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        for authority in [PATH, "localhost", "a"] {
            let (kinds, bytes) = asked(AnyAuthority::new, authority).await;
            assert_eq!(kinds, [1, 0, 1], "{authority}");
            assert!(bytes.windows(8).any(|part| part == b"answered"), "{authority}");
        }
        let (kinds, bytes) = asked(|server| server, PATH).await;
        assert_eq!((kinds, bytes), (vec![3], vec![0, 0, 0, 1]), "RST_STREAM, PROTOCOL_ERROR");
    });
}
