use super::*;

fn read_texts(listeners: &str, advertised: &str, protocols: &str) -> (Addresses, Vec<ConfigError>) {
    let some = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    let texts = Texts {
        listeners: some(listeners),
        advertised: some(advertised),
        protocols: some(protocols),
        controllers: Some("CONTROLLER".to_owned()),
    };
    let mut errors = Vec::new();
    let addresses = read(&texts, &mut errors);
    (addresses, errors)
}

const PLAIN: &str = "PLAINTEXT:PLAINTEXT,INTERNAL:PLAINTEXT,SSL:SSL";

fn problems(listeners: &str, advertised: &str) -> Vec<AddressProblem> {
    let (_, errors) = read_texts(listeners, advertised, PLAIN);
    errors
        .into_iter()
        .map(|error| match error {
            ConfigError::InvalidAddress { problem, .. } => problem,
            other => panic!("{other}"),
        })
        .collect()
}

#[test]
fn endpoint_has_a_host_and_a_port() {
    for (text, host, port) in [
        ("localhost:9092", "localhost", 9092),
        (":0", "", 0),
        ("[::1]:1", "::1", 1),
        ("127.0.0.1:65535", "127.0.0.1", 65535),
    ] {
        let endpoint = endpoint(text).unwrap();
        assert_eq!(endpoint, Endpoint { host: host.to_owned(), port });
        assert_eq!(endpoint.to_string(), text);
    }
}

#[test]
fn endpoint_of_another_form_is_refused() {
    for text in [
        "localhost",
        "localhost:",
        "localhost:65536",
        "::1:9092",
        "[::1:9092",
        "[x]:1",
        "a b:1",
        "http://a:1",
        "",
    ] {
        assert!(endpoint(text).is_err(), "{text}");
    }
}

#[test]
fn listener_of_a_name_of_ones_own_is_read() {
    let (addresses, errors) = read_texts("internal://[::]:9092, PLAINTEXT://h:1", "INTERNAL://h:5", PLAIN);
    assert_eq!(errors, []);
    assert_eq!(
        addresses.listeners,
        [Listener::new("INTERNAL", "::", 9092), Listener::new("PLAINTEXT", "h", 1)]
    );
    assert_eq!(addresses.advertised, [Listener::new("INTERNAL", "h", 5)]);
}

#[test]
fn listeners_that_do_not_fit_are_refused() {
    for (listeners, problem) in [
        ("PLAINTEXT://a:1,PLAINTEXT://a:2", AddressProblem::SameName("PLAINTEXT".to_owned())),
        ("PLAINTEXT://a:1,INTERNAL://a:1", AddressProblem::SamePort(1)),
        ("OTHER://a:1", AddressProblem::NoProtocol("OTHER".to_owned())),
        ("SSL://a:1", AddressProblem::NotServed { name: "SSL".to_owned(), protocol: "SSL".to_owned() }),
        ("CONTROLLER://a:1", AddressProblem::NoListener),
        ("", AddressProblem::NoListener),
    ] {
        assert_eq!(problems(listeners, ""), [problem], "{listeners}");
    }
}

#[test]
fn both_families_may_share_a_port() {
    assert_eq!(problems("PLAINTEXT://127.0.0.1:9092,INTERNAL://[::1]:9092", ""), []);
    assert_eq!(problems("PLAINTEXT://a:0,INTERNAL://a:0", ""), []);
}

#[test]
fn advertised_address_must_lead_to_a_listener() {
    assert_eq!(
        problems("PLAINTEXT://:1", "INTERNAL://a:1"),
        [AddressProblem::NotListening("INTERNAL".to_owned())]
    );
    for host in ["", "0.0.0.0", "[::]"] {
        let advertised = format!("PLAINTEXT://{host}:1");
        assert_eq!(
            problems("PLAINTEXT://:1", &advertised),
            [AddressProblem::NotRoutable(advertised.clone())]
        );
    }
}

#[test]
fn listener_of_controllers_is_left_out_with_a_warning() {
    let (addresses, errors) =
        read_texts("PLAINTEXT://:1,CONTROLLER://:2", "PLAINTEXT://a:1,CONTROLLER://a:2", PLAIN);
    assert_eq!((addresses.listeners.len(), addresses.advertised.len(), errors.len()), (1, 1, 0));
    assert_eq!(addresses.warnings.len(), 1);
}
