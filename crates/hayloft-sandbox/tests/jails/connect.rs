//! The way to what listens inside a jail: it leads into that jail or nowhere.

use std::io::ErrorKind;
use std::net::{TcpListener, TcpStream};
use std::time::Instant;

use hayloft_sandbox::{Command, Jail, Process, Tier};
use tokio::io::AsyncReadExt;

use crate::support::{Fixture, options, ready, run, shell, tiers};

/// Listens on a loopback address and says a word to everybody who comes.
const SERVER: &str = r#"
    my ($family, $address, $word) = @ARGV;
    socket(S, $family, 1, 0) or die "socket: $!";
    setsockopt(S, 1, 2, 1);
    bind(S, pack("H*", $address)) or die "bind: $!";
    listen(S, $word eq "-" ? 0 : 8) or die "listen: $!";
    $| = 1;
    print "ready\n";
    sleep 1000 if $word eq "-";
    while (accept(C, S)) { syswrite C, $word; close C }
"#;

fn fixture(test: &str, tier: Tier) -> Fixture {
    let mut options = options(&format!("{test}-{tier}"), tier);
    options.programs.push("/usr/bin/perl".into());
    Fixture::of(options)
}

/// A server in a jail on `127.0.0.1`, or on `::1`.
async fn serve(jail: &Jail, ipv6: bool, port: u16, word: &str) -> Process {
    let (family, address) = match ipv6 {
        false => ("2", format!("0200{port:04x}7f000001{}", "0".repeat(16))),
        true => ("10", format!("0a00{port:04x}00000000{}0100000000", "0".repeat(30))),
    };
    let arguments = ["-e", SERVER, family, &address, word].map(Into::into).into();
    let command = Command { program: "/usr/bin/perl".into(), arguments, ..shell("") };
    let mut process = jail.spawn(command).await.unwrap();
    let _lines = ready(&mut process).await;
    process
}

async fn heard(jail: &Jail, port: u16) -> String {
    let mut said = String::new();
    jail.connect(port).await.unwrap().read_to_string(&mut said).await.unwrap();
    said
}

#[tokio::test]
async fn a_port_leads_into_its_own_jail_or_nowhere() {
    // The host listens on the same port, and so does every jail.
    let host = TcpListener::bind("127.0.0.1:0").unwrap();
    host.set_nonblocking(true).unwrap();
    let port = host.local_addr().unwrap().port();
    for tier in tiers().into_iter().filter(|tier| tier.has_namespaces()) {
        let fixture = fixture("port", tier);
        let (one, two) = (fixture.jail("one").await, fixture.jail("two").await);
        for jail in [&one, &two] {
            assert_eq!(jail.connect(port).await.unwrap_err().kind(), ErrorKind::ConnectionRefused, "{tier}");
        }
        assert_eq!(host.accept().unwrap_err().kind(), ErrorKind::WouldBlock, "{tier}: the host was reached");
        let _first = serve(&one, false, port, "one").await;
        assert_eq!(heard(&one, port).await, "one");
        assert_eq!(two.connect(port).await.unwrap_err().kind(), ErrorKind::ConnectionRefused, "{tier}");
        let _second = serve(&two, true, port, "two").await;
        assert_eq!(
            (heard(&one, port).await, heard(&two, port).await),
            ("one".into(), "two".into()),
            "{tier}"
        );
        assert_eq!(host.accept().unwrap_err().kind(), ErrorKind::WouldBlock, "{tier}: the host was reached");
        one.end().await.unwrap();
        assert!(one.connect(port).await.is_err());
        two.end().await.unwrap();
    }
    // The control: the host's own port is open to whoever is in its network.
    #[expect(clippy::disallowed_methods, reason = "the test is who is in the host's network")]
    let _connected = TcpStream::connect(("127.0.0.1", port)).unwrap();
    host.set_nonblocking(false).unwrap();
    host.accept().unwrap();
}

#[tokio::test]
async fn a_listener_that_takes_nobody_holds_up_nobody_else() {
    let tier = Tier::B;
    if !tiers().contains(&tier) {
        return;
    }
    let fixture = fixture("full", tier);
    let jail = fixture.jail("full").await;
    let _server = serve(&jail, false, 7000, "-").await;
    let begun = Instant::now();
    let mut taken = Vec::new();
    let refused = loop {
        match jail.connect(7000).await {
            Ok(stream) => taken.push(stream),
            Err(error) => break error,
        }
        assert!(taken.len() < 100, "its queue has no end");
    };
    assert_eq!(refused.kind(), ErrorKind::TimedOut, "{refused}");
    assert!(begun.elapsed().as_secs() < 60);
    // While one connection hangs, the jail does what it is asked for.
    let (hanging, work) = tokio::join!(jail.connect(7000), async {
        let begun = Instant::now();
        let said = run(&jail, "echo works").await.0;
        (said, begun.elapsed())
    });
    assert_eq!((hanging.unwrap_err().kind(), work.0.as_str()), (ErrorKind::TimedOut, "works\n"));
    assert!(work.1.as_secs() < 4, "it waited for the connection: {:?}", work.1);
    jail.end().await.unwrap();
}

#[tokio::test]
async fn there_is_no_way_where_the_network_is_the_hosts() {
    let host = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = host.local_addr().unwrap().port();
    for tier in [Tier::C, Tier::Off].into_iter().filter(|tier| tiers().contains(tier)) {
        let jail = fixture("none", tier).jail("none").await;
        let refused = jail.connect(port).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Unsupported);
        assert_eq!(refused.to_string(), format!("jails of tier {tier} have no network of their own"));
        jail.end().await.unwrap();
    }
}
