package azuretest

import (
	"io"
	"net"
	"net/http"
	"strconv"
)

// Throttled answers 429, and how many seconds to wait if that is more than 0.
func Throttled(seconds int) http.HandlerFunc {
	return refusal(&failure{http.StatusTooManyRequests, "Throttled", "", "Request was not processed because too many requests were received."}, seconds)
}

// Unavailable answers 503, and how many seconds to wait if that is more than 0.
func Unavailable(seconds int) http.HandlerFunc {
	return refusal(&failure{http.StatusServiceUnavailable, "ServiceUnavailable", "", "The service is temporarily unavailable."}, seconds)
}

func refusal(f *failure, seconds int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		if seconds > 0 {
			w.Header().Set("Retry-After", strconv.Itoa(seconds))
		}
		f.write(w)
	}
}

// Body answers with a status and any body.
func Body(status int, text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		w.Write([]byte(text))
	}
}

// Silent never answers.
func (s *Server) Silent(_ http.ResponseWriter, r *http.Request) {
	io.Copy(io.Discard, r.Body) // else the server does not notice that the client has gone
	select {
	case <-r.Context().Done():
	case <-s.done:
	}
}

// Reset sends the beginning of an answer and resets the connection.
func Reset(w http.ResponseWriter, _ *http.Request) {
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(err)
	}
	buffered.WriteString("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 400\r\n\r\n{\"kid\":")
	buffered.Flush()
	if c, ok := conn.(interface{ NetConn() net.Conn }); ok {
		conn = c.NetConn()
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		tcp.SetLinger(0)
	}
	conn.Close()
}
