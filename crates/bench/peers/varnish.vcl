vcl 4.1;

backend origin {
    .host = "127.0.0.1";
    .port = "@BACKEND@";
}

sub vcl_recv {
    if (req.http.Upgrade) {
        return (pipe);
    }
    # What is never kept is not looked for.
    if (req.url ~ "^/class/") {
        return (pass);
    }
}

sub vcl_pipe {
    set bereq.http.Connection = req.http.Connection;
    set bereq.http.Upgrade = req.http.Upgrade;
}

sub vcl_backend_response {
    set beresp.ttl = 1h;
    set beresp.do_gzip = false;
}
