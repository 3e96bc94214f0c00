package caddygray

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"

	"github.com/grayrelease/gray/internal/explain"
	"github.com/grayrelease/gray/rollout"
)

func init() {
	caddycmd.RegisterCommand(caddycmd.Command{
		Name:  "gray",
		Short: "Explains decisions of the running gateway, and moves releases",
		Long: "Explains decisions of the running gateway, throws kill switches, and moves rollouts.\n\n" +
			"All of it goes through the admin API of a Caddy that runs.",
		CobraFunc: addCommands,
	})
}

func addCommands(cmd *cobra.Command) {
	cmd.PersistentFlags().String("address", "", "The address of the admin API (default: Caddy's own)")
	cmd.AddCommand(explainCommandLine(), switchCommandLine(), statusCommandLine())
	for _, verb := range rollout.Verbs() {
		cmd.AddCommand(verbCommandLine(verb))
	}
}

// call sends a request to the admin API, and prints the answer.
func call(cmd *cobra.Command, method, path string, body any) error {
	given, err := cmd.Flags().GetString("address")
	if err != nil {
		return err
	}
	address, err := caddycmd.DetermineAdminAPIAddress(given, nil, "", "")
	if err != nil {
		return err
	}
	data, err := json.Marshal(body)
	if err != nil {
		return err
	}
	header := http.Header{"Content-Type": {"application/json"}}
	res, err := caddycmd.AdminAPIRequest(address, method, path, header, bytes.NewReader(data))
	if err != nil {
		return err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return err
	}
	var indented bytes.Buffer
	if err := json.Indent(&indented, text, "", "  "); err != nil {
		return err
	}
	_, err = fmt.Fprintln(cmd.OutOrStdout(), strings.TrimSpace(indented.String()))
	return err
}

func servicePath(service, verb string) string { return "/gray/" + url.PathEscape(service) + "/" + verb }

func statusCommandLine() *cobra.Command {
	return &cobra.Command{
		Use: "status [<service>]", Short: "Shows the state of policies", Args: cobra.MaximumNArgs(1),
		Example: "  caddy gray status shop",
		RunE: func(cmd *cobra.Command, args []string) error {
			return call(cmd, http.MethodGet, "/gray/"+url.PathEscape(strings.Join(args, "")), nil)
		},
	}
}

func explainCommandLine() *cobra.Command {
	var q explain.Request
	cmd := &cobra.Command{
		Use: "explain <service>", Short: "Says what version a request would get, and why", Args: cobra.ExactArgs(1),
		Example: "  caddy gray explain shop --header 'X-App-Version: beta'\n" +
			"  caddy gray explain shop --cookie uid=u-1027 --ip 192.0.2.7 --path /cart",
		RunE: func(cmd *cobra.Command, args []string) error {
			return call(cmd, http.MethodPost, servicePath(args[0], "explain"), q)
		},
	}
	q.AddFlags(cmd.Flags())
	return cmd
}

func switchCommandLine() *cobra.Command {
	var c switchCommand
	var isEnd bool
	cmd := &cobra.Command{
		Use: "switch <service> [<version>]", Short: "Throws the kill switch: every request goes to one version",
		Args: cobra.RangeArgs(1, 2),
		Example: "  caddy gray switch shop v1 --reason 'errors on v2'\n" +
			"  caddy gray switch shop --end",
		RunE: func(cmd *cobra.Command, args []string) error {
			to := strings.Join(args[1:], "")
			if isEnd == (to != "") {
				return errors.New("give the version that every request goes to, or --end to end the switch")
			}
			c.To = &to
			return call(cmd, http.MethodPost, servicePath(args[0], "switch"), c)
		},
	}
	cmd.Flags().BoolVar(&isEnd, "end", false, "End the switch")
	addWhy(cmd, &c.Reason, &c.By)
	return cmd
}

func addWhy(cmd *cobra.Command, reason, by *string) {
	cmd.Flags().StringVar(reason, "reason", "", "Why, for people")
	cmd.Flags().StringVar(by, "by", "", "Who does it (default: admin API)")
}

func verbCommandLine(verb string) *cobra.Command {
	var c command
	cmd := &cobra.Command{
		Use: verb + " <service>", Short: rollout.Text(verb), Args: cobra.ExactArgs(1),
		Example: "  caddy gray " + verb + " shop --reason 'looks well'",
		RunE: func(cmd *cobra.Command, args []string) error {
			return call(cmd, http.MethodPost, servicePath(args[0], verb), c)
		},
	}
	addWhy(cmd, &c.Reason, &c.By)
	cmd.Flags().Int64Var(&c.Epoch, "epoch", 0, "Only if the state's epoch is still this one")
	if verb == rollout.Goto {
		cmd.Flags().IntVar(&c.Step, "step", 0, "The step to go to, from 1")
		cmd.Example = "  caddy gray goto shop --step 2"
	}
	return cmd
}
