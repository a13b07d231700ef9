package sweep

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"
	"time"
)

// encodeKey writes a primary key as text that decodeKey reads back as the same values: JSON, with each value's kind.
func encodeKey(key []any) (string, error) {
	parts := make([][2]string, len(key))
	for i, v := range key {
		switch v := v.(type) {
		case int64:
			parts[i] = [2]string{"int", strconv.FormatInt(v, 10)}
		case uint64:
			parts[i] = [2]string{"uint", strconv.FormatUint(v, 10)}
		case float64:
			parts[i] = [2]string{"float", strconv.FormatFloat(v, 'g', -1, 64)}
		case string:
			parts[i] = [2]string{"text", v}
		case []byte:
			parts[i] = [2]string{"bytes", hex.EncodeToString(v)}
		case time.Time: // machines have zones of their own
			parts[i] = [2]string{"time", v.UTC().Format(time.RFC3339Nano)}
		default:
			return "", fmt.Errorf("sweep: a primary key with a %T cannot be swept: %w", v, ErrState)
		}
	}
	b, err := json.Marshal(parts)
	return string(b), err
}

func decodeKey(text string) ([]any, error) {
	var parts [][2]string
	if err := json.Unmarshal([]byte(text), &parts); err != nil {
		return nil, fmt.Errorf("sweep: the position that the database remembers is none: %w", ErrState)
	}
	key := make([]any, len(parts))
	for i, p := range parts {
		var err error
		if key[i], err = decodeValue(p[0], p[1]); err != nil {
			return nil, fmt.Errorf("sweep: the position that the database remembers is none: %w", ErrState)
		}
	}
	return key, nil
}

func decodeValue(kind, text string) (any, error) {
	switch kind {
	case "int":
		return strconv.ParseInt(text, 10, 64)
	case "uint":
		return strconv.ParseUint(text, 10, 64)
	case "float":
		return strconv.ParseFloat(text, 64)
	case "text":
		return text, nil
	case "bytes":
		return hex.DecodeString(text)
	case "time":
		return time.Parse(time.RFC3339Nano, text)
	}
	return nil, fmt.Errorf("unknown kind: %w", ErrState)
}
