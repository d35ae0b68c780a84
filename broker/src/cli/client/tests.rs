//! A broker that answers some requests, and one that answers none.

use super::{Call, Client, ClientError};
use bytes::{Buf, BufMut, BytesMut};
use kafka_protocol::messages::api_versions_response::ApiVersion;
use kafka_protocol::messages::metadata_response::MetadataResponseBroker;
use kafka_protocol::messages::{
    ApiVersionsRequest, ApiVersionsResponse, InitProducerIdRequest, MetadataRequest, MetadataResponse,
};
use kafka_protocol::protocol::{Encodable, HeaderVersion, Request, StrBytes};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::mpsc;

/// Longer than any machine that works at all takes.
const LIMIT: Duration = Duration::from_secs(120);

/// The version of a response's header, which is that of its correlation id and, from 1 on, of no tagged fields.
fn answer<R: Request>(number: i32, version: i16, response: &R::Response) -> BytesMut {
    let mut body = BytesMut::new();
    body.put_i32(number);
    if R::Response::header_version(version) > 0 {
        body.put_u8(0);
    }
    response.encode(&mut body, version).expect("the response fits its version");
    let mut frame = BytesMut::new();
    frame.put_u32(u32::try_from(body.len()).expect("small"));
    frame.extend_from_slice(&body);
    frame
}

/// Answers ApiVersions and Metadata, in which it names itself; tells which API it leaves unanswered.
async fn serve(mut stream: TcpStream, unanswered: mpsc::Sender<i16>) {
    let address = stream.local_addr().expect("it is bound");
    let known = |key: i16, min, max| {
        ApiVersion::default().with_api_key(key).with_min_version(min).with_max_version(max)
    };
    while let Ok(size) = stream.read_u32().await {
        let mut request = vec![0; size as usize];
        stream.read_exact(&mut request).await.expect("a whole request");
        let mut head = request.as_slice();
        let (key, version, number) = (head.get_i16(), head.get_i16(), head.get_i32());
        let frame = match key {
            ApiVersionsRequest::KEY => {
                let keys = vec![known(MetadataRequest::KEY, 0, 12), known(InitProducerIdRequest::KEY, 0, 5)];
                let response = ApiVersionsResponse::default().with_api_keys(keys);
                answer::<ApiVersionsRequest>(number, version, &response)
            }
            MetadataRequest::KEY => {
                let itself = MetadataResponseBroker::default()
                    .with_host(StrBytes::from_string(address.ip().to_string()))
                    .with_port(i32::from(address.port()));
                let response = MetadataResponse::default().with_brokers(vec![itself]);
                answer::<MetadataRequest>(number, version, &response)
            }
            key => {
                unanswered.send(key).await.expect("the test waits for it");
                continue;
            }
        };
        stream.write_all(&frame).await.expect("the client reads");
    }
}

/// A broker that answers what [`serve`] does: its address, and what it leaves unanswered.
async fn broker() -> (String, mpsc::Receiver<i16>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has ports");
    let address = listener.local_addr().expect("it is bound").to_string();
    let (sender, unanswered) = mpsc::channel(1);
    tokio::spawn(async move {
        while let Ok((stream, _client)) = listener.accept().await {
            tokio::spawn(serve(stream, sender.clone()));
        }
    });
    (address, unanswered)
}

#[tokio::test]
async fn the_request_that_a_broker_does_not_answer_is_named_with_the_broker() {
    let (address, mut unanswered) = broker().await;
    let mut client = Client::connect(&address, LIMIT).await.expect("it answers so far");
    let request = InitProducerIdRequest::default();
    let key = tokio::select! {
        answer = client.call(&address, &request) => panic!("it answers {answer:?}"),
        key = unanswered.recv() => key,
    };
    assert_eq!(key, Some(InitProducerIdRequest::KEY));
    let said = client.trouble();
    let wanted = format!("the broker at {address} has not answered {} for ", InitProducerIdRequest::NAME);
    assert!(said.starts_with(&wanted) && said.contains("`ottla cluster status -b"), "{said}");
}

#[tokio::test]
async fn a_silent_broker_leaves_the_next_address_its_time() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("loopback has ports");
    let silent_address = silent.local_addr().expect("it is bound").to_string();
    let (address, _unanswered) = broker().await;
    let client =
        Client::connect(&format!("{silent_address},{address}"), LIMIT).await.expect("the second answers");
    assert_eq!(client.any_address(), address);
}

#[tokio::test]
async fn every_address_that_does_not_answer_says_why() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("loopback has ports");
    let silent_address = silent.local_addr().expect("it is bound").to_string();
    // Nobody else can take its port while it is there, and it never listens.
    let deaf = TcpSocket::new_v4().expect("there are sockets");
    deaf.bind(([127, 0, 0, 1], 0).into()).expect("loopback has ports");
    let deaf_address = deaf.local_addr().expect("it is bound").to_string();
    let bootstrap = format!("{deaf_address},{silent_address}");
    let error = Client::connect(&bootstrap, Duration::from_secs(1)).await.expect_err("nobody answers");
    let ClientError::Unreachable { reason, .. } = error else { panic!("{error}") };
    assert!(reason.contains(&format!("{deaf_address}: ")), "{reason}");
    assert!(reason.contains(&format!("{silent_address}: no answer within ")), "{reason}");
}
