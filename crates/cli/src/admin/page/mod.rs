//! The page that shows a server live: four files that are part of the program. A browser loads nothing else, and runs
//! nothing that is written in the page itself.

use axum::Router;
use axum::http::header;
use axum::response::IntoResponse;
use axum::routing::get;

/// Path, media type, text.
const FILES: [(&str, &str, &str); 5] = [
    ("/", "text/html; charset=utf-8", include_str!("page.html")),
    ("/page.css", "text/css; charset=utf-8", include_str!("page.css")),
    ("/page.js", "text/javascript; charset=utf-8", include_str!("page.js")),
    ("/graph.js", "text/javascript; charset=utf-8", include_str!("graph.js")),
    ("/rates.js", "text/javascript; charset=utf-8", include_str!("rates.js")),
];

/// What the page may load and do: its own files and numbers. Backends and keys have names that others choose.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The routes of the page.
pub(super) fn routes<S: Clone + Send + Sync + 'static>() -> Router<S> {
    FILES.into_iter().fold(Router::new(), |router, (path, media_type, text)| {
        router.route(path, get(move || async move { file(media_type, text) }))
    })
}

fn file(media_type: &'static str, text: &'static str) -> impl IntoResponse {
    let fields = [
        (header::CONTENT_TYPE, media_type),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        // Another version of the program has another page.
        (header::CACHE_CONTROL, "no-cache"),
    ];
    (fields, text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::{Body, to_bytes};
    use axum::http::Request;
    use tower::ServiceExt;

    #[tokio::test]
    async fn each_file_has_its_type_and_the_policy() {
        for (path, media_type, text) in FILES {
            let request = Request::get(path).body(Body::empty()).unwrap();
            let response = routes().with_state(()).oneshot(request).await.unwrap();
            let field = |name| response.headers()[name].to_str().unwrap().to_owned();
            assert_eq!((response.status().as_u16(), field("content-type")), (200, media_type.to_owned()), "{path}");
            assert!(field("content-security-policy").starts_with("default-src 'none'"), "{path}");
            assert_eq!(field("x-content-type-options"), "nosniff");
            assert_eq!(to_bytes(response.into_body(), 1 << 20).await.unwrap(), text);
        }
    }

    #[test]
    fn nothing_comes_from_elsewhere_and_nothing_is_scripted_in_place() {
        for (path, _, text) in FILES {
            let text = text.replace("http://www.w3.org/2000/svg", "");
            for word in ["://", "onclick", "onload", "style=", "<style", "innerHTML", "eval(", "@import"] {
                assert!(!text.contains(word), "{path} has {word}");
            }
        }
        let page = FILES[0].2;
        let named = ["href=\"", "src=\""].iter().flat_map(|start| page.split(start).skip(1));
        for target in named.filter_map(|rest| rest.split('"').next()) {
            let is_ours = FILES.iter().any(|(path, ..)| *path == target) || target == "data:,";
            assert!(is_ours || target.starts_with('#') || target.starts_with("/api/"), "{target}");
        }
    }
}
