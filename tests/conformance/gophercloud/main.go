// Makes a network, a router, a group, a key pair, a server and a floating IP as OpenTofu's openstack provider does
// (it is built on gophercloud), checks what it reads back, and deletes everything. Signs in as the cloud OS_CLOUD.
//
//	go run . PUBLIC_KEY_FILE
package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"time"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/flavors"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/keypairs"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/servers"
	"github.com/gophercloud/gophercloud/v2/openstack/config"
	"github.com/gophercloud/gophercloud/v2/openstack/config/clouds"
	"github.com/gophercloud/gophercloud/v2/openstack/image/v2/images"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/layer3/floatingips"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/layer3/routers"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/security/groups"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/security/rules"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/networks"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/ports"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/subnets"
)

const name = "gopher"

// must ends the program at the first thing that is not as it should be.
func must[T any](value T, err error) T {
	check(err)
	return value
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	who, where, tls, err := clouds.Parse()
	check(err)
	provider := must(config.NewProviderClient(ctx, who, config.WithTLSConfig(tls)))
	compute := must(openstack.NewComputeV2(provider, where))
	network := must(openstack.NewNetworkV2(provider, where))
	image := must(openstack.NewImageV2(provider, where))

	shelf := must(images.ExtractImages(must(images.List(image, images.ListOpts{Name: "petit"}).AllPages(ctx))))
	var flavor string
	for _, one := range must(flavors.ExtractFlavors(must(flavors.ListDetail(compute, flavors.ListOpts{}).AllPages(ctx)))) {
		if one.Name == "petit-2" {
			flavor = one.ID
		}
	}
	outside := must(networks.ExtractNetworks(must(networks.List(network, networks.ListOpts{Name: "public"}).AllPages(ctx))))
	if len(shelf) != 1 || flavor == "" || len(outside) != 1 {
		check(fmt.Errorf("found %d images petit, flavor %q, %d networks public", len(shelf), flavor, len(outside)))
	}

	net := must(networks.Create(ctx, network, networks.CreateOpts{Name: name}).Extract())
	subnet := must(subnets.Create(ctx, network, subnets.CreateOpts{
		NetworkID: net.ID, Name: name, IPVersion: gophercloud.IPv4, CIDR: "10.40.0.0/24", DNSNameservers: []string{"192.0.2.53"},
	}).Extract())
	router := must(routers.Create(ctx, network, routers.CreateOpts{
		Name: name, GatewayInfo: &routers.GatewayInfo{NetworkID: outside[0].ID},
	}).Extract())
	must(routers.AddInterface(ctx, network, router.ID, routers.AddInterfaceOpts{SubnetID: subnet.ID}).Extract())
	group := must(groups.Create(ctx, network, groups.CreateOpts{Name: name}).Extract())
	must(rules.Create(ctx, network, rules.CreateOpts{
		SecGroupID: group.ID, Direction: rules.DirIngress, EtherType: rules.EtherType4, Protocol: rules.ProtocolTCP,
		PortRangeMin: 22, PortRangeMax: 22, RemoteIPPrefix: "0.0.0.0/0",
	}).Extract())
	key := string(must(os.ReadFile(os.Args[1])))
	must(keypairs.Create(ctx, compute, keypairs.CreateOpts{Name: name, PublicKey: key}).Extract())
	port := must(ports.Create(ctx, network, ports.CreateOpts{Name: name, NetworkID: net.ID, SecurityGroups: &[]string{group.ID}}).Extract())
	server := must(servers.Create(ctx, compute, keypairs.CreateOptsExt{
		CreateOptsBuilder: servers.CreateOpts{
			Name: name, ImageRef: shelf[0].ID, FlavorRef: flavor, Networks: []servers.Network{{Port: port.ID}},
			Metadata: map[string]string{"made": "by gophercloud"},
		}, KeyName: name,
	}, nil).Extract())
	check(servers.WaitForStatus(ctx, compute, server.ID, "ACTIVE"))
	floating := must(floatingips.Create(ctx, network, floatingips.CreateOpts{FloatingNetworkID: outside[0].ID, PortID: port.ID}).Extract())

	seen := must(servers.Get(ctx, compute, server.ID).Extract())
	if seen.Name != name || seen.KeyName != name || seen.Metadata["made"] != "by gophercloud" || len(seen.Addresses[name].([]any)) != 2 {
		check(fmt.Errorf("the server reads back as %+v", seen))
	}
	fmt.Println("made", server.ID, floating.FloatingIP)

	check(floatingips.Delete(ctx, network, floating.ID).ExtractErr())
	check(servers.Delete(ctx, compute, server.ID).ExtractErr())
	check(gophercloud.WaitFor(ctx, func(ctx context.Context) (bool, error) {
		_, err := servers.Get(ctx, compute, server.ID).Extract()
		var answer gophercloud.ErrUnexpectedResponseCode
		if errors.As(err, &answer) && answer.Actual == http.StatusNotFound {
			return true, nil
		}
		return false, err
	}))
	check(ports.Delete(ctx, network, port.ID).ExtractErr())
	check(keypairs.Delete(ctx, compute, name, nil).ExtractErr())
	check(groups.Delete(ctx, network, group.ID).ExtractErr())
	must(routers.RemoveInterface(ctx, network, router.ID, routers.RemoveInterfaceOpts{SubnetID: subnet.ID}).Extract())
	check(routers.Delete(ctx, network, router.ID).ExtractErr())
	check(networks.Delete(ctx, network, net.ID).ExtractErr())
	fmt.Println("deleted")
}
