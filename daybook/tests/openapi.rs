//! The committed description of the API is the one that the routes make.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[tokio::test]
async fn the_committed_description_is_that_of_the_routes() {
    let committed = concat!(env!("CARGO_MANIFEST_DIR"), "/../schemas/openapi.json");
    let document = daybook::openapi::document().await.unwrap();
    let text = document.to_pretty_json().unwrap() + "\n";
    if std::fs::read_to_string(committed).unwrap_or_default() != text {
        std::fs::write(committed, &text).unwrap();
        panic!(
            "schemas/openapi.json was not what the routes make; it has been written again: look at it and commit it"
        );
    }
}
