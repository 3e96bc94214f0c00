package serve

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/grayrelease/gray/rollout/loop"
)

const formatCloudEvents = "cloudevents"

// formats make the body of a webhook, and its media type.
var formats = map[string]func(*loop.Event) (kind string, body []byte, err error){
	formatCloudEvents: cloudEvent,
	"slack": func(e *loop.Event) (string, []byte, error) {
		escape := strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")
		return chat(map[string]any{"text": escape.Replace(sentence(e))})
	},
	"dingtalk": func(e *loop.Event) (string, []byte, error) {
		return chat(map[string]any{"msgtype": "text", "text": map[string]string{"content": sentence(e)}})
	},
	"feishu": func(e *loop.Event) (string, []byte, error) {
		return chat(map[string]any{"msg_type": "text", "content": map[string]string{"text": sentence(e)}})
	},
	"wecom": func(e *loop.Event) (string, []byte, error) {
		return chat(map[string]any{"msgtype": "text", "text": map[string]string{"content": sentence(e)}})
	},
}

func formatNames() []string { return slices.Sorted(maps.Keys(formats)) }

// cloudEvent is the event in the structured mode of CloudEvents 1.0.
func cloudEvent(e *loop.Event) (string, []byte, error) {
	body, err := json.Marshal(map[string]any{
		"specversion": "1.0", "id": e.ID + "@" + strconv.FormatInt(e.Epoch, 10), "source": "/gray/" + e.Service,
		"type": "gray.rollout." + e.Kind, "subject": e.Service, "time": e.At.UTC().Format(time.RFC3339Nano),
		"datacontenttype": "application/json", "data": e,
	})
	return "application/cloudevents+json", body, err
}

func chat(message map[string]any) (string, []byte, error) {
	body, err := json.Marshal(message)
	return "application/json", body, err
}

// sentence says what has happened.
func sentence(e *loop.Event) string {
	text := fmt.Sprintf("%s: rollout of %s: %s", e.Service, e.Version, strings.ReplaceAll(e.Kind, "_", " "))
	if e.Kind != loop.RolledBack {
		text += ", " + strconv.FormatFloat(e.Percent, 'f', -1, 64) + " %"
	}
	if e.Reason != "" {
		text += ": " + e.Reason
	}
	if e.By != "" {
		text += " (" + e.By + ")"
	}
	return text
}
