//! Clients that take their time: bodies that do not come, and requests that only wait. Neither holds what others need.

use bytes::Bytes;
use futures_util::future::join_all;
use futures_util::{StreamExt, stream};
use schemas::http::place::{Place, Places};

use super::*;

/// A body that sends its parts with pauses between them, and then stops forever.
fn dripping(parts: Vec<Bytes>, pause: Duration) -> Body {
    let parts = stream::iter(parts).then(move |part| async move {
        tokio::time::sleep(pause).await;
        Ok::<_, std::io::Error>(part)
    });
    Body::from_stream(parts.chain(stream::pending()))
}

fn bodies() -> Bodies {
    let (patience, upload) = (Duration::from_millis(400), Duration::from_secs(2));
    Bodies { patience, slowest_bytes_per_s: 1_000, upload }
}

fn slow(path: &str, content_type: &str, body: Body) -> Request<Body> {
    Request::post(path).header("content-type", content_type).body(body).unwrap()
}

fn with_place(mut request: Request<Body>, place: &Arc<Place>) -> Request<Body> {
    request.extensions_mut().insert(Arc::clone(place));
    request
}

#[tokio::test]
async fn half_a_body_and_one_that_drips_are_ended_in_time() {
    let server = Server::with(Settings { bodies: bodies(), ..settings() });
    let bytes = Bytes::from(vec![b' '; 8]);
    for parts in [vec![bytes.clone()], vec![bytes; 100]] {
        let body = dripping(parts, Duration::from_millis(50));
        let told = server.raw(slow("/v1/orders", "application/json", body)).await;
        assert_eq!(told.code(), "body-too-slow");
    }
    assert_eq!(server.executor.store().head().borrow().position, 0);
}

#[tokio::test]
async fn slow_content_takes_no_room_from_other_content_and_is_ended_in_time() {
    let server = Server::with(Settings { bodies: bodies(), ..settings() });
    let csv = |body| slow("/v1/imports", "text/csv", body);
    let drips = || dripping(vec![Bytes::from_static(b"a"); 1_000], Duration::from_millis(20));
    let slow = join_all((0..8).map(|_| server.raw(csv(drips()))));
    let meanwhile = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        server.raw(csv(Body::from("a,b\n1,2\n"))).await
    };
    let (slow, other) = tokio::join!(slow, meanwhile);
    assert_eq!(other.code(), "unknown-layout", "it was read");
    for told in slow {
        assert_eq!(told.code(), "body-too-slow");
    }
}

#[tokio::test]
async fn content_that_comes_fast_enough_may_take_long_and_not_for_ever() {
    let server = Server::with(Settings { bodies: bodies(), ..settings() });
    let part = Bytes::from(vec![b'a'; 2_000]);
    // 1,000 bytes a second have to come; many times that do.
    let pause = Duration::from_millis(100);
    let parts = stream::iter(vec![part.clone(); 10]).then(move |part| async move {
        tokio::time::sleep(pause).await;
        Ok::<_, std::io::Error>(part)
    });
    let told = server.raw(slow("/v1/imports", "text/csv", Body::from_stream(parts))).await;
    assert_eq!(told.code(), "unknown-layout", "it was read to its end");
    let begun = std::time::Instant::now();
    let told = server.raw(slow("/v1/imports", "text/csv", dripping(vec![part; 1_000], pause))).await;
    assert_eq!(told.code(), "body-too-slow");
    assert!(begun.elapsed() >= bodies().upload, "it was fast enough until then");
}

#[tokio::test]
async fn who_waits_for_a_verdict_or_for_its_own_body_takes_no_place() {
    let server = Server::with(Settings { bodies: bodies(), ..settings() });
    let places = Places::new(1, 2);
    let place = places.take().unwrap();
    let waits = post("/v1/orders", order_of(None)).prefer("wait=1").request();
    let waits = server.raw(with_place(waits, &place));
    let other = async {
        let mut head = server.executor.store().head();
        head.wait_for(|head| head.position > 0).await.unwrap();
        let place = loop {
            match places.take() {
                Some(place) => break place,
                None => tokio::task::yield_now().await,
            }
        };
        let body = dripping(vec![Bytes::from_static(b"{")], Duration::ZERO);
        let half = server.raw(with_place(slow("/v1/orders", "application/json", body), &place));
        let third = async {
            while places.waiting() < 2 {
                tokio::task::yield_now().await;
            }
            let place = places.take().unwrap();
            let waits = post("/v1/orders", order_of(None)).prefer("wait=60").request();
            server.raw(with_place(waits, &place)).await
        };
        tokio::join!(half, third)
    };
    let (told, (half, third)) = tokio::join!(waits, other);
    assert_eq!((told.status, told.header("preference-applied")), (StatusCode::CREATED, Some("wait=1")));
    assert_eq!(half.code(), "body-too-slow");
    assert_eq!(third.status, StatusCode::CREATED, "what was asked for is done");
    assert_eq!(third.header("preference-applied"), None, "too many wait already");
    drop(place);
    assert_eq!(places.waiting(), 0);
}

#[tokio::test]
async fn a_body_that_comes_when_all_places_are_taken_is_turned_away() {
    let server = Server::new();
    let places = Places::new(1, 1);
    let place = places.take().unwrap();
    let body = order_of(None).to_string();
    let later = stream::once(async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        Ok::<_, std::io::Error>(Bytes::from(body))
    });
    let late = slow("/v1/orders", "application/json", Body::from_stream(later));
    let late = server.raw(with_place(late, &place));
    let other = async {
        loop {
            match places.take() {
                Some(place) => break place,
                None => tokio::task::yield_now().await,
            }
        }
    };
    let (told, other) = tokio::join!(late, other);
    assert_eq!(told.code(), "overloaded");
    assert_eq!(server.executor.store().head().borrow().position, 0);
    drop((place, other));
    assert_eq!((places.running(), places.waiting()), (0, 0));
}
