terraform {
  required_providers {
    openstack = {
      source  = "terraform-provider-openstack/openstack"
      version = "~> 3.0"
    }
  }
}

# Reads clouds.yaml; the cloud is the one that OS_CLOUD names.
provider "openstack" {}

data "openstack_networking_network_v2" "public" {
  name = "public"
}

resource "openstack_networking_network_v2" "demo" {
  name = "tofu"
}

resource "openstack_networking_subnet_v2" "demo" {
  name       = "tofu"
  network_id = openstack_networking_network_v2.demo.id
  cidr       = "10.50.0.0/24"
}

resource "openstack_networking_router_v2" "demo" {
  name                = "tofu"
  external_network_id = data.openstack_networking_network_v2.public.id
}

resource "openstack_networking_router_interface_v2" "demo" {
  router_id = openstack_networking_router_v2.demo.id
  subnet_id = openstack_networking_subnet_v2.demo.id
}

resource "openstack_networking_secgroup_v2" "demo" {
  name = "tofu"
}

resource "openstack_networking_secgroup_rule_v2" "ssh" {
  security_group_id = openstack_networking_secgroup_v2.demo.id
  direction         = "ingress"
  ethertype         = "IPv4"
  protocol          = "tcp"
  port_range_min    = 22
  port_range_max    = 22
}

resource "openstack_compute_keypair_v2" "demo" {
  name       = "tofu"
  public_key = file(pathexpand("~/.ssh/id_ed25519.pub"))
}

resource "openstack_networking_port_v2" "demo" {
  name               = "tofu"
  network_id         = openstack_networking_network_v2.demo.id
  security_group_ids = [openstack_networking_secgroup_v2.demo.id]

  fixed_ip {
    subnet_id = openstack_networking_subnet_v2.demo.id
  }
}

resource "openstack_compute_instance_v2" "demo" {
  name        = "tofu"
  image_name  = "petit"
  flavor_name = "petit-2"
  key_pair    = openstack_compute_keypair_v2.demo.name

  network {
    port = openstack_networking_port_v2.demo.id
  }
}

resource "openstack_networking_floatingip_v2" "demo" {
  pool       = "public"
  port_id    = openstack_networking_port_v2.demo.id
  depends_on = [openstack_networking_router_interface_v2.demo]
}

output "ssh" {
  value = "ssh petit@${openstack_networking_floatingip_v2.demo.address}"
}
