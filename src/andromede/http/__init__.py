"""HTTP for every service: route declarations, versions, faults, paging, encoding. Knows no service and no driver."""
