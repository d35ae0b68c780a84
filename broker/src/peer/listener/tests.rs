//! Who comes to a peer listener: nodes, strangers, and floods of them.

use crate::peer::frame::{read_frame, write_frame};
use crate::peer::handshakes::HANDSHAKES_MAX;
use crate::peer::hello::HelloError;
use crate::peer::testing::{connect_through, hello, listener};
use crate::peer::{DialError, Dialer, Hello, Mismatch, PeerStream, Purpose};
use storage::ids::BrokerId;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Connects in plain text.
async fn connect(accepting: &Hello, dialling: &Hello) -> Result<(PeerStream, PeerStream), DialError> {
    connect_through((None, accepting), (None, dialling)).await
}

/// What a client that sends `bytes` is answered, until the listener closes.
async fn answer_to(bytes: &[u8]) -> Vec<u8> {
    let (mut listener, address) = listener(None).await;
    let mut client = TcpStream::connect((address.host.as_str(), address.port)).await.unwrap();
    client.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    tokio::select! {
        accepted = listener.accept(|| hello(1, None)) => panic!("a stranger was accepted: {accepted:?}"),
        // The listener may reset the connection, as it leaves bytes unread.
        _ = client.read_to_end(&mut answer) => {}
    }
    answer
}

#[tokio::test]
async fn both_sides_learn_who_the_other_is_and_what_for() {
    let (accepting, dialling) = (hello(1, Some("one")), hello(2, None));
    let (mut accepted, mut dialled) = connect(&accepting, &dialling).await.unwrap();
    assert_eq!(accepted.hello, Hello { purpose: Purpose::Fetch, ..dialling });
    assert_eq!(dialled.hello, Hello { purpose: Purpose::Fetch, ..accepting });
    write_frame(&mut dialled, &[b"to", b"gether"]).await.unwrap();
    assert_eq!(read_frame(&mut accepted, 64).await.unwrap(), "together");
}

#[tokio::test]
async fn a_connection_goes_on_in_another_runtime() {
    let (mut accepted, mut dialled) = connect(&hello(1, None), &hello(2, None)).await.unwrap();
    let elsewhere = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            accepted.move_to_this_runtime().unwrap();
            let frame = read_frame(&mut accepted, 64).await.unwrap();
            write_frame(&mut accepted, &[&frame]).await.unwrap();
        });
    });
    write_frame(&mut dialled, &[b"there and back"]).await.unwrap();
    assert_eq!(read_frame(&mut dialled, 64).await.unwrap(), "there and back");
    elsewhere.join().unwrap();
}

#[tokio::test]
async fn a_node_of_another_cluster_is_refused_by_both_ids() {
    let refused = connect(&hello(1, Some("one")), &hello(2, Some("two"))).await;
    let Err(DialError::Mismatch { source: Mismatch::ForeignCluster { .. }, .. }) = &refused else {
        panic!("{refused:?}");
    };
    let sentence = refused.unwrap_err().to_string();
    assert!(sentence.contains("cluster one") && sentence.contains("cluster two"), "{sentence}");
}

#[tokio::test]
async fn a_node_that_dials_itself_notices() {
    let own = hello(1, None);
    assert!(matches!(connect(&own, &own).await, Err(DialError::Itself { .. })));
}

#[tokio::test]
async fn a_port_that_nobody_listens_on_is_refused_and_not_just_silent() {
    let (closed, address) = listener(None).await;
    drop(closed);
    let refused = Dialer::default().dial(&address, Purpose::Raft, &hello(2, None)).await;
    assert!(matches!(refused, Err(DialError::Refused { .. })), "{refused:?}");
}

#[tokio::test]
async fn clients_and_frames_beyond_a_hello_are_refused() {
    for stranger in [
        &b"GET /metrics HTTP/1.1\r\n\r\n"[..],
        b"\0\0\0\x14\0\x12\0\x03\0\0\0\x01\0\x04test\0\x04test\x011\0",
        b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03",
        b"\x7f\xff\xff\xff",
        b"\0\0\0\x04oops",
    ] {
        let answer = answer_to(stranger).await;
        // At most the hello, which every connection is sent at once, and never a welcome.
        assert!(answer.len() < 128, "{} bytes to {}", answer.len(), stranger.escape_ascii());
    }
}

#[tokio::test]
async fn strangers_are_named() {
    for (bytes, expected) in [
        (&b"GET / HTTP/1.1\r\n\r\n"[..], "the other side speaks HTTP, which is for ottla.http.listener"),
        (
            b"\0\0\0\x14\0\x12\0\x03\0\0\0\x01\0\x04test\0\x04test\x011\0",
            "the other side speaks Kafka's protocol",
        ),
        (b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03", "the other side speaks TLS and this node does not"),
        (b"\0\0\0\x04oops", "the other side is no Ottla node"),
        (b"\x7f\xff\xff\xff", "a frame announced 2147483647 bytes, and at most 1024 are taken"),
    ] {
        let (mut here, mut there) = tokio::io::duplex(1024);
        here.write_all(bytes).await.unwrap();
        let error: HelloError = crate::peer::hello::exchange(&mut there, &hello(1, None)).await.unwrap_err();
        assert!(error.to_string().starts_with(expected), "{error}");
    }
}

#[tokio::test]
async fn a_flood_of_silent_connections_does_not_keep_a_node_out() {
    let (mut listener, address) = listener(None).await;
    let accepting = tokio::spawn(async move { listener.accept(|| hello(1, None)).await });
    let mut silent = Vec::new();
    for _ in 0..4 * HANDSHAKES_MAX {
        silent.push(TcpStream::connect((address.host.as_str(), address.port)).await.unwrap());
    }
    let dialling = hello(2, None);
    let dialled = Dialer::default().dial(&address, Purpose::Control, &dialling).await.unwrap();
    assert_eq!(dialled.hello.broker_id, BrokerId(1));
    assert_eq!(accepting.await.unwrap().hello.incarnation, dialling.incarnation);
    drop(silent);
}
