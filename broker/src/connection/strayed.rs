//! What is said to a client that came to the wrong port.
//!
//! HTTP is answered, once and with the same few bytes, since whoever types `curl` sees nothing of the node's log. TLS is not: to a
//! client an alert is a word about certificates or versions, while librdkafka takes the end of the connection for what it is and
//! asks "connecting to a PLAINTEXT broker listener?".

use crate::api::Outcome;
use crate::connection::writer::Answer;
use crate::wire::response::ResponseFrame;
use std::net::SocketAddr;
use std::sync::Arc;

/// The answer to HTTP that came over a connection to `local`, where this node serves HTTP at `http`.
pub(super) fn answer_to_http(http: Option<SocketAddr>, local: SocketAddr) -> Answer {
    let said = sentence(http, local);
    let length = said.len();
    let answer = format!(
        "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {length}\r\n\
         Connection: close\r\n\r\n{said}"
    );
    let frame = ResponseFrame { pieces: vec![answer.into()] };
    Answer { outcome: Ok(Outcome::Send(frame)), timeline: Arc::default(), turn: None }
}

fn sentence(http: Option<SocketAddr>, local: SocketAddr) -> String {
    let port = local.port();
    let Some(mut address) = http else {
        return format!(
            "Port {port} speaks Kafka, not HTTP; this node serves no health or metrics, for which ottla.http.listener is to be set.\n"
        );
    };
    // All addresses of the node, of which the client knows this one.
    if address.ip().is_unspecified() {
        address.set_ip(local.ip().to_canonical());
    }
    let is_private = address.ip().is_loopback() && !local.ip().to_canonical().is_loopback();
    let reach = if is_private { ", which only the node's own machine reaches" } else { "" };
    format!(
        "Port {port} speaks Kafka, not HTTP; health and metrics are at http://{address}/health and http://{address}/metrics \
         (ottla.http.listener){reach}.\n"
    )
}

#[cfg(test)]
mod tests {
    use super::sentence;
    use std::net::SocketAddr;

    fn said(http: Option<&str>, local: &str) -> String {
        let address = |text: &str| text.parse::<SocketAddr>().expect("it is an address");
        sentence(http.map(address), address(local))
    }

    #[test]
    fn whoever_speaks_http_is_told_where_it_is_served() {
        assert_eq!(
            said(Some("127.0.0.1:9080"), "127.0.0.1:9092"),
            "Port 9092 speaks Kafka, not HTTP; health and metrics are at http://127.0.0.1:9080/health and \
             http://127.0.0.1:9080/metrics (ottla.http.listener).\n"
        );
        assert!(
            said(Some("127.0.0.1:9080"), "10.0.0.1:9092").contains("only the node's own machine reaches")
        );
        assert!(said(Some("[::]:9080"), "[::ffff:10.0.0.1]:9092").contains("at http://10.0.0.1:9080/health"));
        assert!(said(None, "127.0.0.1:9092").contains("ottla.http.listener is to be set"));
    }
}
